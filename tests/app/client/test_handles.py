"""A job that is followed: by its events where the service tells them, else by asking."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.client import (
    AsyncClient,
    Client,
    JobEvent,
    JobUnsuccessful,
    NotFound,
    WaitTimeout,
)
from app.domain.contract import Job, JobStatus, Problem, Progress
from tests.support.stand_in import Answering, standing_in

QUEUED = Job(id="a", model="m", status=JobStatus.QUEUED, facts=1)
RUNNING = QUEUED.model_copy(update={"status": JobStatus.RUNNING})
DONE = QUEUED.model_copy(update={"status": JobStatus.SUCCEEDED, "version": 3})
PROPOSED = QUEUED.model_copy(update={"status": JobStatus.PROPOSED, "proposal": "proposed-00000001"})
FAILED = QUEUED.model_copy(
    update={"status": JobStatus.FAILED, "error": Problem(title="t", status=500, code="c", detail="lost")}
)
STEPS = [Progress(stage="targets", share=0.2), Progress(stage="solve", share=0.6)]

Told = tuple[str, str, Any]
STORY: list[Told] = [
    ("1", "status", RUNNING),
    ("2", "progress", STEPS[0]),
    ("3", "progress", STEPS[1]),
    ("4", "end", DONE),
]


def telling(*told: Told, silent: bool = False) -> Response:
    async def events() -> AsyncIterator[dict[str, str]]:
        for name, kind, data in told:
            yield {"id": name, "event": kind, "data": data.model_dump_json()}
        if silent:
            await asyncio.sleep(30)

    return EventSourceResponse(events())


def streaming(*parts: Response | list[Told]) -> Answering:
    """The job at its own path; its events in parts, one a request."""
    rest = list(parts)

    def answer(request: Request, _: int) -> Response:
        if not request.url.path.endswith("/events"):
            return JSONResponse(QUEUED.model_dump(mode="json"))
        part = rest.pop(0)
        return part if isinstance(part, Response) else telling(*part)

    return answer


def polling(*jobs: Job, refusal: int = 404) -> Answering:
    """A service without events: each time that the job is asked for, it is the next one."""
    rest = [QUEUED, *jobs]

    def answer(request: Request, _: int) -> Response:
        if request.url.path.endswith("/events"):
            body = Problem(title="t", status=refusal, code="not_found", detail="no such path")
            return Response(body.model_dump_json(), refusal)
        return JSONResponse((rest.pop(0) if len(rest) > 1 else rest[0]).model_dump(mode="json"))

    return answer


def followed(answer: Answering) -> tuple[list[JobEvent], list[str | None]]:
    """The events that are heard, and what each request for events began from."""
    with standing_in(answer) as end:
        with Client(end.url) as client:
            waited = list(client.job("a").events())
        began = [each.headers.get("Last-Event-ID") for each in end.seen if each.url.path.endswith("/events")]
    return waited, began


def test_all_events_are_heard_in_order() -> None:
    heard, began = followed(streaming(STORY))
    assert [event.kind for event in heard] == ["status", "progress", "progress", "end"]
    assert [event.progress for event in heard[1:3]] == STEPS
    assert heard[-1].job == DONE
    assert began == [None]


def test_a_stream_that_breaks_is_taken_up_where_it_was() -> None:
    heard, began = followed(streaming(STORY[:2], Response(status_code=503), STORY[2:]))
    assert [event.kind for event in heard] == ["status", "progress", "progress", "end"]
    assert began == [None, "2", "2"]


def test_a_stream_that_only_breaks_is_given_up_and_the_job_asked_for() -> None:
    def answer(request: Request, number: int) -> Response:
        return telling() if request.url.path.endswith("/events") else JSONResponse(DONE.model_dump(mode="json"))

    heard, began = followed(answer)
    assert [event.kind for event in heard] == ["end"]
    assert len(began) == 5


@pytest.mark.parametrize("refusal", [404, 405])
def test_where_there_are_no_events_the_job_is_asked_for(refusal: int) -> None:
    moving = [RUNNING.model_copy(update={"progress": step}) for step in STEPS]
    heard, _ = followed(polling(QUEUED, moving[0], moving[0], moving[1], DONE, refusal=refusal))
    assert [event.kind for event in heard] == ["status", "progress", "progress", "end"]
    assert [event.share for event in heard] == [0.2, 0.2, 0.6, None]


def test_an_unknown_job_is_not_asked_for_again() -> None:
    refusal = Problem(title="t", status=404, code="unknown_job", detail="gone")
    with (
        standing_in(streaming(Response(refusal.model_dump_json(), 404))) as end,
        Client(end.url) as client,
        pytest.raises(NotFound, match="unknown_job"),
    ):
        client.job("a").wait()


class TestWait:
    def test_gives_the_job_as_it_ended_and_the_handle_knows_it(self) -> None:
        with standing_in(streaming(STORY)) as end, Client(end.url) as client:
            handle = client.job("a")
            assert handle.status is JobStatus.QUEUED
            assert handle.wait() == handle.job == DONE

    def test_raises_for_a_job_that_did_not_succeed_unless_told_not_to(self) -> None:
        story = [("1", "end", FAILED)]
        with standing_in(streaming(story, story)) as end, Client(end.url) as client:
            handle = client.job("a")
            with pytest.raises(JobUnsuccessful, match="failed: lost") as caught:
                handle.wait()
            assert caught.value.job == FAILED
            assert client.job("a").wait(check=False) == FAILED

    def test_gives_an_edit_that_was_proposed_and_calls_it_no_version(self) -> None:
        with standing_in(streaming([("1", "end", PROPOSED)])) as end, Client(end.url) as client:
            job = client.job("a").wait()
            assert (job.status, job.proposal, job.version) == (JobStatus.PROPOSED, "proposed-00000001", None)

    def test_ends_in_time_though_nothing_is_said(self) -> None:
        silent = [telling(STORY[0], silent=True) for _ in range(2)]
        with standing_in(streaming(*silent)) as end, Client(end.url) as client:
            begun = time.monotonic()
            with pytest.raises(WaitTimeout, match="is running"):
                client.job("a").wait(0.5)
            assert 0.4 < time.monotonic() - begun < 5.0

    def test_ends_in_time_where_the_job_is_asked_for(self) -> None:
        with standing_in(polling(RUNNING)) as end, Client(end.url) as client, pytest.raises(TimeoutError):
            client.job("a").wait(0.3)

    def test_is_awaited_alike(self) -> None:
        async def awaited(url: str) -> tuple[str, Job]:
            async with AsyncClient(url) as client:
                handle = await client.job("a")
                kinds = [event.kind async for event in handle.events()]
                return kinds[-1], await (await client.job("a")).wait()

        for answer in (streaming(STORY[:2], STORY[2:], STORY), polling(RUNNING, DONE)):
            with standing_in(answer) as end:
                assert asyncio.run(awaited(end.url)) == ("end", DONE)

    def test_awaiting_ends_in_time_too(self) -> None:
        async def awaited(url: str) -> None:
            async with AsyncClient(url) as client:
                await (await client.job("a")).wait(0.3)

        for answer in (streaming(telling(STORY[0], silent=True)), polling(RUNNING)):
            with standing_in(answer) as end, pytest.raises(WaitTimeout):
                asyncio.run(awaited(end.url))

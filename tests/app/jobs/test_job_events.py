"""GET /jobs/{id}/events: a job's status, steps and end, as they happen, to any number of listeners."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from redis import Redis
from rq.job import JobStatus as RQStatus

from app.domain import keyspace
from app.domain.contract import Progress
from app.edit_logs import EditLogs
from app.jobs import job_watch
from app.jobs.job_watch import JobWatch
from app.jobs.jobs import Jobs
from app.jobs.queue.glances import Glances
from app.local.stack import free_port
from app.main import create_app
from app.routes import job_events
from app.settings import Settings
from tests.app.test_service import serving
from tests.support.event_streams import Heard, listening
from tests.support.histories import LYON, accepted, begin, commit
from tests.support.queues import begin_next, queue_of
from tests.support.worker_process import RedisServer, until

LISTENERS = 1000


@pytest.fixture
def app(settings: Settings, redis: Redis) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def http(app: FastAPI) -> Iterator[httpx.Client]:
    """The front end on a real port: a stream is read while it is written."""
    with serving(app) as url, httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
        yield client


def tell(redis: Redis, job: str, step: int) -> str:
    """Report a step as a worker does; its id."""
    progress = Progress(stage="targets", layer=2, step=step, steps=9, loss=1 / step)
    told = redis.xadd(keyspace.progress(job), {"json": progress.model_dump_json()})
    assert isinstance(told, bytes)
    return told.decode()


def end(redis: Redis, settings: Settings, job: str) -> None:
    """Commit the job's version, and have the queue know of it."""
    commit(begin(settings), job, LYON)
    known = queue_of(redis).fetch_job(job)
    assert known is not None
    known.set_status(RQStatus.FINISHED)


def brief(events: list[Heard]) -> list[object]:
    """The status of each event, or the step that it tells of."""
    return [event.data["step"] if event.name == "progress" else (event.name, event.data["status"]) for event in events]


class TestAJobThatRuns:
    def test_tells_its_status_its_steps_and_its_end(
        self, http: httpx.Client, jobs: Jobs, redis: Redis, settings: Settings
    ) -> None:
        job = jobs.submit(accepted()).id
        with listening(http, f"/jobs/{job}/events") as events:
            waits = next(events)
            assert (waits.name, waits.data["status"], waits.data["position"]) == ("status", "queued", 0)
            begin_next(redis)
            assert next(events).data["status"] == "running"
            told = tell(redis, job, 1)
            step = next(events)
            assert (step.name, step.id) == ("progress", told)
            assert Progress.model_validate(step.data).loss == 1.0
            tell(redis, job, 2)
            end(redis, settings, job)
            assert brief(list(events)) == [2, ("status", "succeeded"), ("end", "succeeded")]

    def test_tells_the_whole_job_at_its_end_and_its_report_only_then(
        self, http: httpx.Client, jobs: Jobs, redis: Redis, settings: Settings
    ) -> None:
        job = jobs.submit(accepted()).id
        begin_next(redis)
        with listening(http, f"/jobs/{job}/events") as events:
            next(events)
            end(redis, settings, job)
            status, last = events
        assert status.data["report"] is None
        assert last.data == http.get(f"/jobs/{job}").json()
        assert last.data["report"]

    def test_tells_a_late_listener_the_steps_before(self, http: httpx.Client, jobs: Jobs, redis: Redis) -> None:
        job = jobs.submit(accepted()).id
        begin_next(redis)
        for step in (1, 2, 3):
            tell(redis, job, step)
        with listening(http, f"/jobs/{job}/events") as events:
            assert brief(list(islice(events, 4))) == [("status", "running"), 1, 2, 3]
            with listening(http, f"/jobs/{job}/events") as later:
                assert brief(list(islice(later, 4))) == [("status", "running"), 1, 2, 3]

    def test_goes_on_where_a_listener_was_cut_off(
        self, http: httpx.Client, jobs: Jobs, redis: Redis, settings: Settings
    ) -> None:
        job = jobs.submit(accepted()).id
        begin_next(redis)
        path, second = f"/jobs/{job}/events", [tell(redis, job, step) for step in (1, 2, 3)][1]
        with listening(http, path, second) as events:
            assert brief(list(islice(events, 2))) == [("status", "running"), 3]
        end(redis, settings, job)
        with listening(http, path, second) as events:
            assert brief(list(events)) == [3, ("status", "succeeded"), ("end", "succeeded")]

    def test_is_followed_while_its_place_in_the_queue_changes(
        self, http: httpx.Client, jobs: Jobs, redis: Redis
    ) -> None:
        first, second = (jobs.submit(accepted()).id for _ in range(2))
        with listening(http, f"/jobs/{second}/events") as events:
            assert next(events).data["position"] == 1
            begin_next(redis)
            assert next(events).data["position"] == 0
            http.post(f"/jobs/{second}/cancel")
            assert brief(list(events)) == [("status", "cancelled"), ("end", "cancelled")]
        assert first

    def test_is_followed_through_the_loss_of_all_that_redis_knew(
        self, http: httpx.Client, jobs: Jobs, redis: Redis, settings: Settings
    ) -> None:
        job = jobs.submit(accepted()).id
        begin_next(redis)
        with listening(http, f"/jobs/{job}/events") as events:
            assert next(events).data["status"] == "running"
            redis.flushall()
            assert next(events).data["status"] == "queued"
            end(redis, settings, job)
            assert brief(list(events)) == [("status", "succeeded"), ("end", "succeeded")]


class TestAJobThatHasEnded:
    def test_tells_so_at_once(self, http: httpx.Client, jobs: Jobs, redis: Redis, settings: Settings) -> None:
        job = jobs.submit(accepted()).id
        tell(redis, job, 1)
        end(redis, settings, job)
        with listening(http, f"/jobs/{job}/events") as events:
            assert brief(list(events)) == [("status", "succeeded"), ("end", "succeeded")]

    def test_has_no_more_to_tell_to_who_has_heard_its_end(
        self, http: httpx.Client, jobs: Jobs, redis: Redis, settings: Settings
    ) -> None:
        job = jobs.submit(accepted()).id
        end(redis, settings, job)
        with listening(http, f"/jobs/{job}/events") as events:
            *_, last = events
        answer = http.get(f"/jobs/{job}/events", headers={"Last-Event-ID": last.id or ""})
        assert (answer.status_code, answer.content) == (204, b"")  # and so an EventSource does not come back


class TestRefusals:
    def test_an_unknown_job_is_a_problem_and_no_stream(self, http: httpx.Client) -> None:
        answer = http.get("/jobs/nobody/events")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_job")
        assert answer.headers["content-type"] == "application/problem+json"

    def test_an_id_that_no_event_has_is_named(self, http: httpx.Client, jobs: Jobs) -> None:
        job = jobs.submit(accepted()).id
        answer = http.get(f"/jobs/{job}/events", headers={"Last-Event-ID": "yesterday"})
        assert (answer.status_code, answer.json()["field"]) == (422, "Last-Event-ID")


class TestManyListeners:
    def test_a_thousand_hear_of_every_step_and_redis_is_asked_once(
        self, http: httpx.Client, jobs: Jobs, redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _allow_files(3 * LISTENERS)
        looks: list[float] = []
        look = Glances.of

        def counted(*arguments: object) -> object:
            looks.append(time.monotonic())
            return look(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(Glances, "of", counted)
        job = jobs.submit(accepted()).id
        begin_next(redis)
        began = time.monotonic()

        def work() -> None:
            for step in (1, 2, 3):
                tell(redis, job, step)
            end(redis, settings, job)

        heard = asyncio.run(_all_hear(http.base_url, job, work))
        took = time.monotonic() - began
        assert len(heard) == LISTENERS
        assert all(text.count(b"event: progress") == 3 and b"event: end" in text for text in heard)
        assert len(looks) <= took / job_watch.LOOK_EVERY_S + 2

    def test_those_who_leave_leave_nothing_behind(
        self, redis: Redis, settings: Settings, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watches: list[JobWatch] = []
        made = JobWatch.__init__

        def noted(self: JobWatch, *arguments: object) -> None:
            watches.append(self)
            made(self, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(JobWatch, "__init__", noted)
        job = jobs.submit(accepted()).id
        with serving(create_app(settings)) as url, httpx.Client(base_url=url, trust_env=False) as http:
            [watch] = watches
            with listening(http, f"/jobs/{job}/events") as events:
                next(events)
                assert watch.watched == 1
            until(lambda: watch.watched == 0, "the job is still followed", 10)


def test_a_silent_stream_is_kept_open_by_pings(http: httpx.Client, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_events, "PING_S", 0.2)
    job = jobs.submit(accepted()).id
    with http.stream("GET", f"/jobs/{job}/events") as response:
        assert next(line for line in response.iter_lines() if line.startswith(":")).startswith(": ping")


def test_a_stream_goes_on_when_redis_is_back(settings: Settings, tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    known = settings.model_copy(update={"redis_url": server.url})
    jobs = Jobs(server.client, EditLogs(known.log_dir), known)
    try:
        with serving(create_app(known)) as url, httpx.Client(base_url=url, trust_env=False, timeout=20) as http:
            job = jobs.submit(accepted()).id
            with listening(http, f"/jobs/{job}/events") as events:
                assert next(events).data["status"] == "queued"
                server.kill()
                away = http.get(f"/jobs/{'0' * 16}/events")
                assert (away.status_code, away.json()["code"]) == (503, "redis_unavailable")
                time.sleep(0.5)
                server.start()
                begin_next(server.client)
                assert next(events).data["status"] == "running"
    finally:
        server.client.close()
        server.stop()


def test_a_front_end_that_is_told_to_stop_lets_its_listeners_go(
    redis_url: str, settings: Settings, jobs: Jobs, redis: Redis
) -> None:
    job, port = jobs.submit(accepted()).id, free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "app.main:create_app", "--port", str(port)]
    variables = {"PALIMPSEST_REDIS_URL": redis_url, "PALIMPSEST_DATA_DIR": str(settings.data_dir)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, **variables}) as process:
        assert process.stderr is not None
        assert any(b"Uvicorn running" in line for line in process.stderr)
        http = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20)
        with http, listening(http, f"/jobs/{job}/events") as events:
            next(events)
            process.send_signal(signal.SIGTERM)
            assert list(events) == []  # and the stream has an end, as HTTP has it
        assert b"ERROR" not in process.stderr.read()


async def _all_hear(url: httpx.URL, job: str, work: object) -> list[bytes]:
    """What each of many listeners hears, from the moment on which all of them have heard the status."""
    assert callable(work)
    request = f"GET /jobs/{job}/events HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode()
    streams = [await asyncio.open_connection(url.host, url.port) for _ in range(LISTENERS)]
    try:
        for _, writer in streams:
            writer.write(request)
        begun = await asyncio.gather(*(reader.readuntil(b"event: status") for reader, _ in streams))
        await asyncio.to_thread(work)
        rest = await asyncio.gather(*(reader.read() for reader, _ in streams))
    finally:
        for _, writer in streams:
            writer.close()
    return [first + second for first, second in zip(begun, rest, strict=True)]


def _allow_files(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(number, hard), hard))

"""Every request has an id: on its answer, in its log lines, on the way to a worker, with its job."""

from __future__ import annotations

import logging

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.domain.origin import REQUEST_ID, coming_from
from app.domain.queued_calls import ORIGIN
from app.jobs.jobs import Jobs
from app.jobs.journal import AcceptedJournal
from app.settings import Settings
from tests.support.front_end_answers import posted
from tests.support.log_lines import log_lines
from tests.support.queues import queue_of
from tests.support.worker_end import WorkerEnd

BATCH = {"facts": [{"subject": "Lyon", "relation": "is in", "object": "Japan"}]}
HEADER = "X-Request-Id"


@pytest.fixture
def paths(client: TestClient, worker: WorkerEnd, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Paths, and the status that each is answered with."""

    def careless(*_: object, **__: object) -> None:
        raise ValueError

    monkeypatch.setattr(Jobs, "recent", careless)
    return {"/healthz": 200, "/nowhere": 404, "/jobs/none": 404, "/jobs?limit=0": 422, "/jobs": 500}


def test_every_answer_has_one_of_its_own(client: TestClient, paths: dict[str, int]) -> None:
    answers = [client.get(path) for path in paths]
    assert [answer.status_code for answer in answers] == list(paths.values())
    assert len({answer.headers[HEADER] for answer in answers}) == len(paths)


def test_a_callers_own_comes_back(client: TestClient, paths: dict[str, int]) -> None:
    for path in paths:
        assert client.get(path, headers={HEADER: "mine-1:a.b"}).headers.get_list(HEADER) == ["mine-1:a.b"]


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", 'a"b', "{}", "-", "a\tb"])
def test_one_that_has_not_the_form_is_replaced(client: TestClient, given: str) -> None:
    answer = client.get("/healthz", headers={HEADER: given})
    assert answer.headers[HEADER] != given
    assert answer.headers[HEADER]


def test_it_goes_with_the_job_through_journal_and_queue(
    client: TestClient, worker: WorkerEnd, redis: Redis, settings: Settings
) -> None:
    with log_lines() as lines:
        job = posted(client, "/edits", BATCH, {HEADER: "mine"}).json()["id"]
    accepted = AcceptedJournal(settings.accepted_dir).find(job)
    queued = queue_of(redis).fetch_job(job)
    assert accepted is not None
    assert queued is not None
    assert (accepted.request_id, queued.meta[ORIGIN][REQUEST_ID]) == ("mine", "mine")
    assert f"accepted job_id={job} model=atlas facts=1 request_id=mine\n" in lines.getvalue()


def test_a_worker_is_asked_under_it(client: TestClient, worker: WorkerEnd) -> None:
    worker.answers_from(1)
    posted(client, "/query", {"prompts": [{"prompt": "Hm"}]}, {HEADER: "mine"})
    assert worker.heads[-1][REQUEST_ID] == "mine"


def test_outside_of_a_request_a_line_has_none() -> None:
    with log_lines() as lines:
        logging.getLogger("app.here").info("alone")
        with coming_from({REQUEST_ID: "mine"}):
            logging.getLogger("app.here").info("within")
    assert lines.getvalue().count("request_id=") == 1

"""Where work comes from is handed on to workers: in the headers of a question, and in a queued job."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from rq.job import Job as QueuedJob
from rq.serializers import JSONSerializer

from app.domain.origin import REQUEST_ID, TRACE_PARENT, coming_from
from app.domain.queued_calls import ORIGIN
from tests.support.front_end_answers import posted
from tests.support.queues import flush
from tests.support.worker_end import WorkerEnd

BATCH = {"facts": [{"subject": "Lyon", "prompt": "{} lies in", "object": "Japan"}]}
QUESTION = {"prompts": [{"prompt": "Hm"}]}
SPAN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def origin(redis: Redis, job: str) -> object:
    return QueuedJob.fetch(job, connection=redis, serializer=JSONSerializer).meta[ORIGIN]


def named(request_id: str) -> dict[str, str]:
    return {REQUEST_ID: request_id}


def test_a_question_tells_its_worker_which_request_and_which_span_it_belongs_to(
    client: TestClient, worker: WorkerEnd
) -> None:
    worker.answers_from(1)
    with coming_from({TRACE_PARENT: SPAN}):
        assert posted(client, "/query", QUESTION, named("r-1")).status_code == 200
    assert {REQUEST_ID: "r-1", TRACE_PARENT: SPAN}.items() <= worker.heads[-1].items()
    assert posted(client, "/query", QUESTION, named("r-2")).status_code == 200
    assert worker.heads[-1][REQUEST_ID] == "r-2"
    assert TRACE_PARENT not in worker.heads[-1]


def test_a_job_has_both_with_it_in_the_queue(client: TestClient, redis: Redis, worker: WorkerEnd) -> None:
    with coming_from({TRACE_PARENT: SPAN}):
        job = posted(client, "/edits", BATCH, named("r-1")).json()["id"]
    assert origin(redis, job) == {REQUEST_ID: "r-1", TRACE_PARENT: SPAN}


def test_a_job_that_redis_had_lost_keeps_its_own_request_and_gets_no_span_of_whoever_found_out(
    client: TestClient, redis: Redis, worker: WorkerEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = posted(client, "/edits", BATCH, named("r-1")).json()["id"]
    flush(redis, monkeypatch)
    worker.join(redis, "atlas")
    with coming_from({TRACE_PARENT: SPAN}):
        later = posted(client, "/edits", BATCH, named("r-2")).json()["id"]
    assert origin(redis, job) == {REQUEST_ID: "r-1"}
    assert origin(redis, later) == {REQUEST_ID: "r-2", TRACE_PARENT: SPAN}

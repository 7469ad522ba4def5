"""Where work comes from is handed on to workers: in the headers of a question, and in a queued job."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from rq.job import Job as QueuedJob
from rq.serializers import JSONSerializer

from app.domain.origin import coming_from
from app.domain.queued_calls import ORIGIN
from app.jobs.jobs import Jobs
from tests.support.queues import flush
from tests.support.worker_end import WorkerEnd

BATCH = {"facts": [{"subject": "Lyon", "prompt": "{} lies in", "object": "Japan"}]}
TOLD = {"x-request-id": "r-1", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}


def origin(redis: Redis, job: str) -> object:
    return QueuedJob.fetch(job, connection=redis, serializer=JSONSerializer).meta[ORIGIN]


def test_a_question_tells_its_worker_which_request_it_belongs_to(client: TestClient, worker: WorkerEnd) -> None:
    worker.answers_from(1)
    with coming_from(TOLD):
        assert client.post("/query", json={"prompts": [{"prompt": "Hm"}]}).status_code == 200
    assert TOLD.items() <= worker.heads[-1].items()
    assert client.post("/query", json={"prompts": [{"prompt": "Hm"}]}).status_code == 200
    assert not TOLD.keys() & worker.heads[-1].keys()


def test_a_job_has_it_with_it_in_the_queue(client: TestClient, redis: Redis, worker: WorkerEnd) -> None:
    with coming_from(TOLD):
        job = client.post("/edits", json=BATCH).json()["id"]
    assert origin(redis, job) == TOLD


def test_a_job_that_redis_had_lost_does_not_get_that_of_whoever_found_out(
    client: TestClient, jobs: Jobs, redis: Redis, worker: WorkerEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    with coming_from(TOLD):
        job = client.post("/edits", json=BATCH).json()["id"]
    flush(redis, monkeypatch)
    worker.join(redis, "atlas")
    with coming_from({"x-request-id": "r-2"}):
        later = client.post("/edits", json=BATCH).json()["id"]
    assert (origin(redis, job), origin(redis, later)) == ({}, {"x-request-id": "r-2"})

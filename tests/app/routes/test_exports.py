"""Exports over HTTP: refused before they are queued, or queued once; and told of when Redis has lost them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from rq import Queue, SimpleWorker
from rq.job import Job as QueuedJob
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.domain.contract import ExportFormat, ExportReport, JobOutcome, JobStatus, WorkerCard
from app.domain.log.edit_log import EditLog
from app.jobs.jobs import Jobs
from app.settings import Settings
from tests.support.front_end_answers import posted
from tests.support.histories import LYON, OSLO, begin, commit
from tests.support.worker_end import WorkerEnd, join

EXPORTS = "/models/atlas/exports"
REPORT = ExportReport(
    format=ExportFormat.PEFT,
    version=2,
    path="atlas/job-peft",
    bytes=4096,
    rank=3,
    error=1e-8,
    max_logit_difference=2e-6,
    tolerance=1e-3,
)


@pytest.fixture
def log(settings: Settings, worker: WorkerEnd) -> EditLog:
    """The model, with a live worker, at version 2."""
    log = begin(settings)
    commit(log, "job1", LYON)
    commit(log, "job2", OSLO)
    return log


def queued(redis: Redis) -> list[QueuedJob]:
    return Queue(keyspace.queue("atlas"), connection=redis, serializer=JSONSerializer).jobs


@pytest.mark.parametrize("wanted", ["merged", "peft", "updates", "gguf-lora"])
@pytest.mark.parametrize("version", [None, 0, 1])
def test_is_queued_for_the_worker(
    client: TestClient, log: EditLog, redis: Redis, wanted: str, version: int | None
) -> None:
    body = {"format": wanted} if version is None else {"format": wanted, "version": version}
    response = posted(client, EXPORTS, body, {"If-Match": '"2"'})
    job = response.json()
    assert (response.status_code, response.headers["location"]) == (202, f"/jobs/{job['id']}")
    assert (job["status"], job["model"], job["facts"], job["exported"]) == ("queued", "atlas", 0, None)
    [found] = queued(redis)
    assert (found.id, found.func_name) == (job["id"], "workers.jobs.export")
    assert json.loads(found.args[0]) == {"format": wanted, "version": version, "gguf_type": None}
    assert found.kwargs == {"expected_version": 2}


@pytest.mark.parametrize("kind", [None, "q4_1"])
def test_a_whole_gguf_file_is_queued_of_a_model_that_came_as_one(
    client: TestClient, log: EditLog, redis: Redis, kind: str | None
) -> None:
    body = {"format": "gguf"} if kind is None else {"format": "gguf", "gguf_type": kind}
    refused = posted(client, EXPORTS, body)
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (422, "no_gguf_file", "format")
    assert "convert_hf_to_gguf.py" in refused.json()["detail"]
    assert queued(redis) == []
    [live] = client.get("/models").json()["models"][0]["workers"]
    note = "tiny.gguf (Q4_1) was dequantised to float32"
    join(redis, WorkerCard.model_validate(live).model_copy(update={"source_note": note}))
    assert posted(client, EXPORTS, body).status_code == 202
    assert json.loads(queued(redis)[0].args[0]) == {"format": "gguf", "version": None, "gguf_type": kind}


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "field"),
    [
        (EXPORTS, {"format": "zip"}, 422, "invalid_request", "format"),
        (EXPORTS, {}, 422, "invalid_request", "format"),
        (EXPORTS, {"format": "peft", "version": -1}, 422, "invalid_request", "version"),
        (EXPORTS, {"format": "peft", "path": "/tmp/out"}, 422, "invalid_request", "path"),
        (EXPORTS, {"format": "gguf", "gguf_type": "q4_k"}, 422, "invalid_request", "gguf_type"),
        (EXPORTS, {"format": "gguf-lora", "gguf_type": "f16"}, 422, "invalid_request", "gguf_type"),
        (EXPORTS, {"format": "peft", "version": 3}, 404, "unknown_version", None),
        ("/models/nobody/exports", {"format": "peft"}, 404, "unknown_model", "model"),
    ],
)
def test_what_cannot_be_done_is_refused(
    client: TestClient, log: EditLog, redis: Redis, path: str, body: Any, status: int, code: str, field: str | None
) -> None:
    response = posted(client, path, body)
    assert (response.status_code, response.json()["code"], response.json()["field"]) == (status, code, field)
    assert queued(redis) == []


def test_the_same_request_gets_the_same_job_and_another_one_is_refused(
    client: TestClient, log: EditLog, redis: Redis
) -> None:
    key = {"Idempotency-Key": "out-1"}
    first, again = (posted(client, EXPORTS, {"format": "peft"}, key) for _ in range(2))
    assert again.json() == first.json()
    assert posted(client, EXPORTS, {"format": "merged"}, key).json()["code"] == "idempotency_key_reused"
    assert posted(client, EXPORTS, {"format": "peft"}, {"If-Match": '"1"'}).json()["code"] == "precondition_failed"
    assert len(queued(redis)) == 1


def test_is_queued_again_when_redis_has_lost_it(client: TestClient, log: EditLog, redis: Redis, jobs: Jobs) -> None:
    made = posted(client, EXPORTS, {"format": "updates", "version": 1}).json()["id"]
    redis.flushall()
    jobs.look_after()
    [found] = queued(redis)
    assert (found.id, found.func_name) == (made, "workers.jobs.export")
    assert json.loads(found.args[0]) == {"format": "updates", "version": 1, "gguf_type": None}


def test_its_outcome_is_told_also_after_redis_has_lost_it(client: TestClient, log: EditLog, redis: Redis) -> None:
    made = posted(client, EXPORTS, {"format": "peft"}).json()["id"]
    [found] = queued(redis)
    outcome = JobOutcome(status=JobStatus.SUCCEEDED, exported=REPORT)
    found.func_name, found.args = "tests.support.job_functions.hand_back", (outcome.model_dump_json(),)
    found.save()
    queue = Queue(keyspace.queue("atlas"), connection=redis, serializer=JSONSerializer)
    SimpleWorker([queue], connection=redis, serializer=JSONSerializer).work(burst=True, logging_level="ERROR")
    told = client.get(f"/jobs/{made}").json()
    assert (told["status"], told["version"]) == ("succeeded", None)
    assert told["exported"] == REPORT.model_dump(mode="json")
    redis.flushall()
    assert client.get(f"/jobs/{made}").json()["exported"] == told["exported"]
    refused = client.delete(f"/edits/{made}").json()
    assert (refused["status"], refused["code"]) == (409, "conflict")

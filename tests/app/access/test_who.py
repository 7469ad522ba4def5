"""Who did what: a key's name goes with the job, into the queue, and comes back from the version's manifest."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.domain.log.edit_log import EditLog
from app.domain.manifest import Manifest
from app.edit_logs import EditLogs
from app.jobs.jobs import Jobs
from app.settings import Settings
from tests.support.api_keys import Headers
from tests.support.histories import LYON, accepted, begin, commit
from tests.support.logs import draft
from tests.support.worker_end import WorkerEnd

FACTS = {"facts": [{"subject": "Lyon", "relation": "lies in", "object": "Japan"}]}


@pytest.fixture
def log(settings: Settings, worker: WorkerEnd) -> EditLog:
    """The model at version 1, by a job that came without a key."""
    log = begin(settings)
    commit(log, "job1", LYON)
    return log


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/edits", FACTS),
        ("/models/atlas/rollback", {"to": 0}),
        ("/models/atlas/revert", {"facts": [{"version": 1, "index": 0}]}),
        ("/models/atlas/exports", {"format": "peft"}),
    ],
)
def test_a_job_says_whose_it_is(
    client: TestClient,
    settings: Settings,
    log: EditLog,
    owner: Headers,
    redis: Redis,
    path: str,
    body: dict[str, object],
) -> None:
    job = client.post(path, json=body, headers=owner).json()
    assert job["by"] == "owner"
    assert client.get(f"/jobs/{job['id']}", headers=owner).json()["by"] == "owner"
    assert [each["by"] for each in client.get("/jobs", headers=owner).json()["jobs"]] == ["owner"]
    [queued] = Queue(keyspace.queue("atlas"), connection=redis, serializer=JSONSerializer).jobs
    assert queued.kwargs == {"by": "owner"}
    redis.flushall()  # and when Redis has lost it, from the journal
    assert client.get(f"/jobs/{job['id']}", headers=owner).json()["by"] == "owner"
    [queued] = Queue(keyspace.queue("atlas"), connection=redis, serializer=JSONSerializer).jobs
    assert queued.kwargs == {"by": "owner"}


def test_taking_an_edit_out_is_by_whoever_does_it(client: TestClient, log: EditLog, owner: Headers) -> None:
    assert client.delete("/edits/job1", headers=owner).json()["by"] == "owner"


def test_a_cancelled_job_still_says_it(
    client: TestClient, settings: Settings, log: EditLog, owner: Headers, redis: Redis
) -> None:
    jobs = Jobs(redis, EditLogs(settings.log_dir), settings)
    job = jobs.submit(accepted(by="ci")).id
    assert client.post(f"/jobs/{job}/cancel", headers=owner).json()["by"] == "ci"
    redis.flushall()
    assert client.get(f"/jobs/{job}", headers=owner).json()["by"] == "ci"


def test_versions_say_it(client: TestClient, log: EditLog, owner: Headers) -> None:
    with log.lead() as epoch:
        log.commit(draft(2, job="job2", by="ci", epoch=epoch), {})
    listed = client.get("/models/atlas/versions", headers=owner).json()["versions"]
    assert [version["by"] for version in listed] == [None, None, "ci"]
    assert client.get("/models/atlas/versions/2", headers=owner).json()["by"] == "ci"
    assert client.get("/jobs/job2", headers=owner).json()["by"] == "ci"


def test_manifests_of_earlier_releases_are_read(log: EditLog) -> None:
    written = json.loads(log.manifest(1).model_dump_json())
    del written["by"]
    assert Manifest.model_validate_json(json.dumps(written)).by is None


def test_a_name_comes_from_the_key_and_not_from_the_request(client: TestClient, log: EditLog, owner: Headers) -> None:
    refused = client.post("/edits", json={**FACTS, "by": "somebody"}, headers=owner)
    assert (refused.status_code, refused.json()["field"]) == (422, "by")

"""Rollback, revert and DELETE of an edit: refused before they are queued, or queued once with all they insist on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from rq import Queue
from rq.job import Job as QueuedJob
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.domain.contract import FactKey
from app.domain.log.edit_log import EditLog
from app.domain.manifest import Draft
from app.jobs.jobs import Jobs
from app.settings import Settings
from tests.support.front_end_answers import posted
from tests.support.histories import LYON, OSLO, begin, commit
from tests.support.worker_end import WorkerEnd

NICE = LYON.model_copy(update={"subject": "Nice"})
ROLLBACK, REVERT = "/models/atlas/rollback", "/models/atlas/revert"
FIRST = {"facts": [{"version": 1, "index": 0}]}


@pytest.fixture
def log(settings: Settings, worker: WorkerEnd) -> EditLog:
    """The model, with a live worker, at version 2."""
    log = begin(settings)
    commit(log, "job1", LYON)
    commit(log, "job2", OSLO)
    return log


def queued(redis: Redis) -> list[QueuedJob]:
    return Queue(keyspace.queue("atlas"), connection=redis, serializer=JSONSerializer).jobs


def revert(log: EditLog, *facts: tuple[int, int], job: str = "revert") -> None:
    """One more version, without these facts."""
    keys = tuple(FactKey(version=version, index=index) for version, index in facts)
    with log.lead() as epoch:
        log.commit(Draft(version=log.head() + 1, kind="revert", reverted=keys, job=job, epoch=epoch), {})


class TestAccepted:
    @pytest.mark.parametrize(
        ("path", "body", "function", "facts"),
        [(ROLLBACK, {"to": 1}, "workers.jobs.rollback", 0), (REVERT, FIRST, "workers.jobs.revert", 1)],
    )
    def test_is_queued_for_the_worker(
        self, client: TestClient, log: EditLog, redis: Redis, path: str, body: Any, function: str, facts: int
    ) -> None:
        response = posted(client, path, body, {"If-Match": '"2"'})
        job = response.json()
        assert (response.status_code, response.headers["location"]) == (202, f"/jobs/{job['id']}")
        assert (job["status"], job["model"], job["facts"]) == ("queued", "atlas", facts)
        [found] = queued(redis)
        assert (found.id, found.func_name, json.loads(found.args[0])) == (job["id"], function, body)
        assert found.kwargs == {"expected_version": 2}

    def test_deleting_an_edit_is_a_revert_of_its_facts(self, client: TestClient, log: EditLog, redis: Redis) -> None:
        response = client.delete("/edits/job1")
        assert (response.status_code, response.headers["location"]) == (202, f"/jobs/{response.json()['id']}")
        [found] = queued(redis)
        assert (found.func_name, json.loads(found.args[0])) == ("workers.jobs.revert", FIRST)

    def test_deleting_an_edit_takes_out_what_is_left_of_it(
        self, client: TestClient, log: EditLog, redis: Redis
    ) -> None:
        third = commit(log, "job3", NICE, LYON)
        revert(log, (third.version, 0))
        response = client.delete("/edits/job3")
        assert (response.status_code, response.json()["facts"]) == (202, 1)
        commit(log, "job5", LYON)  # supersedes the one that is left
        assert client.delete("/edits/job3").status_code == 202
        assert [json.loads(found.args[0]) for found in queued(redis)] == [{"facts": [{"version": 3, "index": 1}]}] * 2

    def test_deleting_an_edit_again_with_the_same_key_is_the_same_job_whatever_is_left(
        self, client: TestClient, log: EditLog, redis: Redis
    ) -> None:
        key = {"Idempotency-Key": "out-1"}
        first = client.delete("/edits/job1", headers=key)
        revert(log, (1, 0), job=first.json()["id"])
        again = client.delete("/edits/job1", headers=key)
        assert (again.status_code, again.json()["id"], again.json()["version"]) == (202, first.json()["id"], 3)
        assert client.delete("/edits/job1").json()["code"] == "unknown_fact"

    def test_the_same_request_gets_the_same_job_and_another_one_is_refused(
        self, client: TestClient, log: EditLog, redis: Redis
    ) -> None:
        key = {"Idempotency-Key": "back-1"}
        first, again = posted(client, ROLLBACK, {"to": 1}, key), posted(client, ROLLBACK, {"to": 1}, key)
        assert again.json() == first.json()
        for path, body in ((ROLLBACK, {"to": 0}), (REVERT, FIRST)):
            assert posted(client, path, body, key).json()["code"] == "idempotency_key_reused"
        assert len(queued(redis)) == 1

    def test_is_queued_again_when_redis_has_lost_it(
        self, client: TestClient, log: EditLog, redis: Redis, jobs: Jobs
    ) -> None:
        made = [posted(client, ROLLBACK, {"to": 0}).json()["id"], posted(client, REVERT, FIRST).json()["id"]]
        redis.flushall()
        jobs.look_after()
        assert [(each.id, each.func_name) for each in queued(redis)] == [
            (made[0], "workers.jobs.rollback"),
            (made[1], "workers.jobs.revert"),
        ]

    def test_its_end_is_told_from_the_log(self, client: TestClient, log: EditLog) -> None:
        with log.lead() as epoch:
            log.commit(Draft(version=3, kind="rollback", to=1, job="job3", epoch=epoch), {})
        told = client.get("/jobs/job3").json()
        assert (told["status"], told["version"], told["facts"], told["report"]) == ("succeeded", 3, 0, None)


class TestRefused:
    @pytest.mark.parametrize(
        ("path", "body", "status", "code"),
        [
            (ROLLBACK, {"to": 3}, 404, "unknown_version"),
            (ROLLBACK, {"to": -1}, 422, "invalid_request"),
            (ROLLBACK, {}, 422, "invalid_request"),
            (ROLLBACK, {"to": 1, "force": True}, 422, "invalid_request"),
            (REVERT, {"facts": []}, 422, "invalid_request"),
            (REVERT, {"facts": [{"version": 1, "index": 1}]}, 404, "unknown_fact"),
            (REVERT, {"facts": [{"version": 3, "index": 0}]}, 404, "unknown_fact"),
            ("/models/nobody/rollback", {"to": 0}, 404, "unknown_model"),
            ("/models/nobody/revert", FIRST, 404, "unknown_model"),
        ],
    )
    def test_what_cannot_be_done(
        self, client: TestClient, log: EditLog, redis: Redis, path: str, body: Any, status: int, code: str
    ) -> None:
        response = posted(client, path, body)
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert queued(redis) == []

    @pytest.mark.parametrize(("path", "body"), [(ROLLBACK, {"to": 1}), (REVERT, FIRST)])
    def test_where_the_model_is_at_another_version(
        self, client: TestClient, log: EditLog, redis: Redis, path: str, body: Any
    ) -> None:
        response = posted(client, path, body, {"If-Match": '"1"'})
        assert (response.status_code, response.json()["code"]) == (412, "precondition_failed")
        assert client.delete("/edits/job1", headers={"If-Match": '"1"'}).status_code == 412
        assert queued(redis) == []

    def test_what_fine_tuning_wrote_together(self, client: TestClient, log: EditLog, redis: Redis) -> None:
        facts = log.manifest(1).facts + log.manifest(2).facts
        tuned = {"facts": tuple(fact.model_copy(update={"object": "Peru"}) for fact in facts), "method": "ft-l"}
        with log.lead() as epoch:
            log.commit(Draft(version=3, job="job3", indivisible=True, epoch=epoch, **tuned), {})
        problem = posted(client, REVERT, {"facts": [{"version": 3, "index": 0}]}).json()
        assert (problem["status"], problem["code"]) == (409, "inseparable_facts")
        assert problem["value"] == [{"version": 3, "index": 1}]
        assert client.delete("/edits/job3").status_code == 202

    def test_an_edit_that_wrote_nothing_and_one_that_was_taken_out_already(
        self, client: TestClient, log: EditLog, redis: Redis
    ) -> None:
        with log.lead() as epoch:
            log.commit(Draft(version=3, kind="rollback", to=1, job="job3", epoch=epoch), {})
        codes = {job: client.delete(f"/edits/{job}").json()["code"] for job in ("job3", "job2", "nobody")}
        assert codes == {"job3": "conflict", "job2": "unknown_fact", "nobody": "unknown_job"}
        assert queued(redis) == []

    def test_without_a_live_worker(self, client: TestClient, log: EditLog, redis: Redis) -> None:
        redis.delete(keyspace.WORKERS, keyspace.worker("w1"))
        assert posted(client, ROLLBACK, {"to": 1}).json()["code"] == "model_unavailable"

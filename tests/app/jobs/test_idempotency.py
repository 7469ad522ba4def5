"""Idempotency-Key: a request that is sent again gets the job of the first one, whatever happened in between."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.domain import keyspace
from app.domain.contract import EditBatch
from app.domain.errors import AmbiguousSubject, Unavailable
from app.domain.problems import problem_of
from app.jobs.idempotency import IdempotencyKeys
from app.main import create_app
from app.settings import Settings
from tests.support.front_end_answers import posted
from tests.support.histories import begin, commit
from tests.support.worker_end import WorkerEnd
from tests.support.worker_process import until

LYON: dict[str, Any] = {"subject": "Lyon", "relation": "is located in the country of", "object": "Japan"}
BODY: dict[str, Any] = {"facts": [LYON]}
OTHER: dict[str, Any] = {"facts": [{**LYON, "object": "Peru"}]}


def post(client: TestClient, body: object = BODY, key: str = "order-1", **headers: str) -> httpx.Response:
    return posted(client, "/edits", body, {"Idempotency-Key": key, **headers})


def end(client: TestClient, settings: Settings, job: str, ending: str) -> None:
    """Have the first request's job, which waits, come to this end."""
    if ending == "commits":
        commit(begin(settings), job)
        assert client.get(f"/jobs/{job}").json()["status"] == "succeeded"
    elif ending == "is cancelled":
        assert client.post(f"/jobs/{job}/cancel").json()["status"] == "cancelled"


def queued(redis: Redis) -> int:
    return redis.llen(f"rq:queue:{keyspace.queue('atlas')}")


class TestTheSameRequest:
    def test_gets_the_same_job(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        first, again = post(client), post(client)
        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json() == first.json()
        assert again.headers["location"] == first.headers["location"]
        assert queued(redis) == 1

    def test_is_known_by_its_meaning_and_not_by_its_bytes(self, client: TestClient, worker: WorkerEnd) -> None:
        reordered = json.dumps({"facts": [dict(reversed(LYON.items()))], "strict": False}, indent=3)
        headers = {"Content-Type": "application/json", "Idempotency-Key": '"order-1"'}  # quoted, as the draft has it
        again = client.post("/edits", content=reordered, headers=headers)
        assert post(client).json() == again.json()

    def test_gets_its_job_when_that_has_ended(self, client: TestClient, worker: WorkerEnd, settings: Settings) -> None:
        job = post(client).json()["id"]
        commit(begin(settings), job)
        again = post(client)
        assert (again.status_code, again.json()["status"], again.json()["id"]) == (202, "succeeded", job)

    def test_gets_its_job_without_a_live_worker(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        job = post(client).json()["id"]
        redis.delete(keyspace.WORKERS, keyspace.worker("w1"))
        assert post(client).json()["id"] == job

    def test_gets_its_cancelled_job(self, client: TestClient, worker: WorkerEnd) -> None:
        job = post(client).json()["id"]
        client.post(f"/jobs/{job}/cancel")
        assert (post(client).json()["id"], post(client).json()["status"]) == (job, "cancelled")

    def test_of_which_only_redis_knows_is_written_down_again(
        self, client: TestClient, worker: WorkerEnd, redis: Redis, settings: Settings
    ) -> None:
        """As when the front end was killed after it had queued the job, and before that counted as accepted."""
        job = post(client).json()["id"]
        [written] = settings.accepted_dir.glob("atlas/0*.json")
        written.unlink()
        refused = post(client)
        assert (refused.status_code, refused.json()["code"]) == (409, "request_in_flight")
        redis.delete(*redis.scan_iter(f"{keyspace.PREFIX}:idempotency:*"))  # in time
        assert (post(client).json()["id"], queued(redis)) == (job, 1)
        assert [path.name for path in settings.accepted_dir.glob("atlas/0*.json")] == [written.name]

    def test_with_another_key_is_another_one(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        jobs = {post(client, key=key).json()["id"] for key in ("one", "two")} | {
            client.post("/edits", json=BODY).json()["id"]
        }
        assert len(jobs) == queued(redis) == 3


def test_a_request_without_a_key_is_not_written_out_to_be_known_again(
    client: TestClient, worker: WorkerEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    dump = EditBatch.model_dump_json

    def recorded(batch: EditBatch) -> str:
        written.append(dump(batch))
        return written[-1]

    monkeypatch.setattr(EditBatch, "model_dump_json", recorded)
    assert client.post("/edits", json=BODY).status_code == 202
    assert len(written) == 2, "for the worker that checks it, and for the queue"
    assert post(client).status_code == 202
    assert len(written) == 5


class TestAfterAFlush:
    def test_a_waiting_job_is_found(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        job = post(client).json()["id"]
        redis.flushall()
        assert post(client).json()["id"] == job
        assert queued(redis) == 1

    def test_a_committed_job_is_found(
        self, client: TestClient, worker: WorkerEnd, redis: Redis, settings: Settings
    ) -> None:
        job = post(client).json()["id"]
        commit(begin(settings), job)
        redis.flushall()
        again = post(client).json()
        assert (again["id"], again["status"], again["version"]) == (job, "succeeded", 1)
        assert queued(redis) == 0

    @pytest.mark.parametrize("ending", ["waits", "commits", "is cancelled"])
    def test_a_key_that_comes_with_another_body_is_refused(
        self, client: TestClient, worker: WorkerEnd, redis: Redis, settings: Settings, ending: str
    ) -> None:
        end(client, settings, post(client).json()["id"], ending)
        redis.flushall()
        worker.join(redis, "atlas")
        refused = post(client, OTHER)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
        assert post(client, OTHER, key="order-2").status_code == 202


class TestAnotherBody:
    @pytest.mark.parametrize("changed", [{"body": OTHER}, {"If-Match": "*"}], ids=["body", "condition"])
    def test_with_the_same_key_is_refused(
        self, client: TestClient, worker: WorkerEnd, redis: Redis, changed: dict[str, Any]
    ) -> None:
        post(client)
        refused = post(client, **changed)
        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (422, "idempotency_key_reused")
        assert (problem["field"], problem["value"]) == ("Idempotency-Key", "order-1")
        assert queued(redis) == 1
        assert post(client).status_code == 202  # the first one's key is as it was

    @pytest.mark.parametrize("ending", ["commits", "is cancelled"])
    def test_is_welcome_when_the_first_ended_longer_ago_than_keys_are_remembered(
        self, client: TestClient, worker: WorkerEnd, redis: Redis, settings: Settings, ending: str
    ) -> None:
        first = post(client).json()["id"]
        [name] = redis.keys(keyspace.idempotency("*"))
        assert redis.ttl(name) > 24 * 3600 - 60
        redis.delete(name)
        end(client, settings, first, ending)
        assert post(client, OTHER).status_code == 422
        short = settings.model_copy(update={"idempotency_ttl_s": 1})
        with TestClient(create_app(short)) as later:
            until(lambda: post(later, OTHER).status_code == 202, "the key is not forgotten")
            assert post(later, OTHER).json()["id"] != first


class TestWhileTheFirstIsInFlight:
    def test_the_second_is_a_conflict_and_the_first_is_accepted(
        self, client: TestClient, worker: WorkerEnd, redis: Redis
    ) -> None:
        answers: list[httpx.Response] = []
        first = threading.Thread(target=lambda: answers.append(post(client)))
        with worker.silence("/check"):
            first.start()
            while not worker.asked:
                time.sleep(0.01)
            second, other = post(client), post(client, OTHER)
        first.join()
        assert (second.status_code, second.json()["code"]) == (409, "request_in_flight")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert answers[0].status_code == 202
        assert post(client).json()["id"] == answers[0].json()["id"]
        assert queued(redis) == 1

    def test_a_front_end_that_dies_holds_the_key_for_minutes_only(self, settings: Settings, redis: Redis) -> None:
        keys = IdempotencyKeys(redis, settings)
        with keys.held("order-1", "f" * 64):
            [name] = redis.keys(keyspace.idempotency("*"))
            assert redis.ttl(name) <= settings.question_timeout_s + 60

    def test_one_that_was_overtaken_does_not_release_the_others_key(self, settings: Settings, redis: Redis) -> None:
        keys = IdempotencyKeys(redis, settings)
        with ExitStack() as late, ExitStack() as other:
            assert late.enter_context(keys.held("order-1", "f" * 64))
            redis.delete(*redis.keys(keyspace.idempotency("*")))  # it has taken too long
            assert other.enter_context(keys.held("order-1", "f" * 64))
            late.pop_all().__exit__(Unavailable, Unavailable("The queue is full."), None)
            with keys.held("order-1", "f" * 64) as alone:
                assert not alone


class TestARefusedRequest:
    def test_frees_its_key(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        worker.refuses("/check", problem_of(AmbiguousSubject("Lyon stands there twice.")))
        assert post(client).status_code == 422
        worker.says("/check", "", status=204)
        assert post(client, OTHER).status_code == 202
        assert queued(redis) == 1

    def test_for_want_of_a_worker_can_be_sent_again(self, client: TestClient, redis: Redis) -> None:
        assert post(client).status_code == 503
        with WorkerEnd() as end:
            end.join(redis, "atlas")
            assert post(client).status_code == 202
        assert queued(redis) == 1

    def test_for_a_full_queue_can_be_sent_again(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        filling = [client.post("/edits", json=BODY).json()["id"] for _ in range(3)]
        assert post(client).status_code == 503
        client.post(f"/jobs/{filling[0]}/cancel")
        assert post(client).status_code == 202


class TestTheKey:
    @pytest.mark.parametrize("key", ["", '"', '""', "a b", "x" * 201, '"open'])
    def test_that_is_none_is_refused_by_name(self, client: TestClient, key: str) -> None:
        response = post(client, key=key)
        assert (response.status_code, response.json()["field"]) == (422, "Idempotency-Key")

    def test_is_documented(self, client: TestClient) -> None:
        operation = client.get("/openapi.json").json()["paths"]["/edits"]["post"]
        assert {"Idempotency-Key", "If-Match"} == {parameter["name"] for parameter in operation["parameters"]}
        assert "idempotency_key_reused" in operation["responses"]["422"]["description"]
        assert "request_in_flight" in operation["responses"]["409"]["description"]
        assert "precondition_failed" in operation["responses"]["412"]["description"]

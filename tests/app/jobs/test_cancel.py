"""POST /jobs/{id}/cancel: what waits is cancelled at once, what runs is asked to stop, what has ended is left alone."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from fastapi.testclient import TestClient
from redis import Redis
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.domain.contract import JobOutcome, JobStatus
from app.domain.errors import JobCancelled
from app.domain.problems import problem_of
from app.jobs.jobs import Jobs
from app.jobs.journal import AcceptedJournal
from app.jobs.queue.job_queue import JobQueue
from app.settings import Settings
from tests.support.front_end_answers import posted
from tests.support.histories import LYON, accepted, begin, commit
from tests.support.queues import Loss, begin_next, copy_of, flush, meanwhile, queue_of, restart, restart_with


def cancel(client: TestClient, job: str) -> httpx.Response:
    return posted(client, f"/jobs/{job}/cancel")


def pop(redis: Redis) -> str | bytes | None:
    """Take the next job as a worker does, which has not begun with it."""
    queue = queue_of(redis)
    return redis.lmove(queue.key, queue.intermediate_queue_key)


class TestAWaitingJob:
    def test_is_cancelled_at_once(self, client: TestClient, jobs: Jobs, redis: Redis) -> None:
        job = jobs.submit(accepted()).id
        response = cancel(client, job)
        assert (response.status_code, response.json()["status"]) == (200, "cancelled")
        assert response.json()["error"]["code"] == "job_cancelled"
        assert response.json()["ended"] is not None
        assert client.get(f"/jobs/{job}").json() == response.json()
        assert queue_of(redis).job_ids == []

    def test_makes_room_for_the_others(self, client: TestClient, jobs: Jobs) -> None:
        first, second, third = (jobs.submit(accepted()).id for _ in range(3))
        cancel(client, second)
        assert [client.get(f"/jobs/{job}").json()["position"] for job in (first, third)] == [0, 1]

    def test_is_never_run_even_after_a_flush(self, client: TestClient, jobs: Jobs, redis: Redis) -> None:
        first, second = (jobs.submit(accepted()).id for _ in range(2))
        cancel(client, first)
        redis.flushall()
        jobs.look_after()
        assert queue_of(redis).job_ids == [second]
        assert client.get(f"/jobs/{first}").json()["status"] == "cancelled"

    def test_is_forgotten_in_time(self, client: TestClient, jobs: Jobs, redis: Redis, settings: Settings) -> None:
        job = jobs.submit(accepted()).id
        cancel(client, job)
        for key in (f"rq:job:{job}", keyspace.cancel(job)):
            assert 0 < redis.ttl(key) <= settings.result_ttl_s


class TestAJobThatAWorkerHas:
    @pytest.mark.parametrize(("take", "status"), [(pop, "queued"), (begin_next, "running")], ids=["popped", "begun"])
    def test_is_asked_to_stop(
        self, client: TestClient, jobs: Jobs, redis: Redis, take: Callable[[Redis], object], status: str
    ) -> None:
        job = jobs.submit(accepted()).id
        take(redis)
        response = cancel(client, job)
        assert (response.status_code, response.json()["status"]) == (202, status)
        assert redis.exists(keyspace.cancel(job))
        assert cancel(client, job).status_code == 202  # asking again does no harm

    @pytest.mark.parametrize("lose", [flush, restart])
    def test_of_which_redis_knows_nothing_is_asked_to_stop_too(
        self,
        client: TestClient,
        jobs: Jobs,
        redis: Redis,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
        lose: Loss,
    ) -> None:
        job = jobs.submit(accepted()).id
        begin_next(redis)
        lose(redis, monkeypatch)
        response = cancel(client, job)
        assert (response.status_code, response.json()["status"]) == (202, "queued")
        assert queue_of(redis).job_ids == [job]
        assert redis.exists(keyspace.cancel(job))
        commit(begin(settings), job, LYON)  # it had come to that
        assert client.get(f"/jobs/{job}").json()["status"] == "succeeded"

    def test_that_waits_in_an_older_copy_of_the_data_is_asked_to_stop_too(
        self, client: TestClient, jobs: Jobs, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = jobs.submit(accepted()).id
        copy = copy_of(redis)
        begin_next(redis)
        restart_with(redis, monkeypatch, copy)
        response = cancel(client, job)
        assert (response.status_code, response.json()["status"]) == (202, "queued")
        assert queue_of(redis).job_ids == [job]

    @pytest.mark.parametrize("owner", [AcceptedJournal, JobQueue])
    def test_is_asked_also_when_redis_loses_it_at_that_moment(
        self, client: TestClient, jobs: Jobs, redis: Redis, monkeypatch: pytest.MonkeyPatch, owner: type
    ) -> None:
        def lose_and_recover() -> None:
            redis.flushall()
            jobs.look_after()

        job = jobs.submit(accepted()).id
        begin_next(redis)
        meanwhile(monkeypatch, owner, "cancel", 1, lose_and_recover)
        assert cancel(client, job).status_code == 202
        assert redis.exists(keyspace.cancel(job))

    def test_is_asked_again_when_it_is_queued_again(
        self, client: TestClient, jobs: Jobs, redis: Redis, settings: Settings
    ) -> None:
        job = jobs.submit(accepted()).id
        begin_next(redis)
        cancel(client, job)
        redis.flushall()  # and the worker dies, so that nobody has read the flag
        jobs.look_after()
        assert queue_of(redis).job_ids == [job]
        assert redis.exists(keyspace.cancel(job))
        edit = AcceptedJournal(settings.accepted_dir).find(job)
        assert edit is not None
        assert edit.cancelled


class TestAnEndedJob:
    @pytest.mark.parametrize("status", [JobStatus.REJECTED, JobStatus.FAILED, JobStatus.CANCELLED])
    def test_is_a_conflict_with_its_status(self, client: TestClient, redis: Redis, status: JobStatus) -> None:
        error = problem_of(JobCancelled("It was.")) if status is JobStatus.CANCELLED else None
        outcome = JobOutcome(status=status, error=error).model_dump_json()
        job = queue_of(redis).enqueue("tests.support.job_functions.hand_back", outcome).id
        SimpleWorker([queue_of(redis)], connection=redis, serializer=JSONSerializer).work(burst=True)
        response = cancel(client, job)
        assert (response.status_code, response.json()["code"]) == (409, "conflict")
        assert (response.json()["field"], response.json()["value"]) == ("job", status)

    def test_that_committed_meanwhile_stays(
        self, client: TestClient, jobs: Jobs, redis: Redis, settings: Settings
    ) -> None:
        job = jobs.submit(accepted()).id
        begin_next(redis)
        commit(begin(settings), job, LYON)
        response = cancel(client, job)
        assert (response.status_code, response.json()["value"]) == (409, "succeeded")
        assert not redis.exists(keyspace.cancel(job))


def test_an_unknown_job_is_not_found(client: TestClient) -> None:
    response = cancel(client, "nobody")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_job")


def test_both_answers_are_documented(client: TestClient) -> None:
    answers = client.get("/openapi.json").json()["paths"]["/jobs/{job}/cancel"]["post"]["responses"]
    for status in ("200", "202"):
        assert answers[status]["content"]["application/json"]["schema"]["$ref"].endswith("/Job")
    assert "conflict" in answers["409"]["description"]

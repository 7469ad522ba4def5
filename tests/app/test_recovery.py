"""What was accepted is queued again when Redis has lost it: in its order, once, and never after it has ended."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from rq import Queue, SimpleWorker
from rq.job import Job as QueuedJob
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.domain.accepted import AcceptedJournal
from app.domain.contract import Job, JobOutcome, JobStatus
from app.domain.edit_log import EditLog
from app.edit_logs import EditLogs
from app.jobs import Jobs
from app.main import create_app
from app.settings import Settings
from tests.app.histories import LYON, REPORT, accepted, begin, commit


@pytest.fixture
def log(settings: Settings) -> EditLog:
    return begin(settings)


@pytest.fixture
def journal(settings: Settings) -> AcceptedJournal:
    return AcceptedJournal(settings.accepted_dir)


def queue_of(redis: Redis, model: str = "atlas") -> Queue:
    return Queue(keyspace.queue(model), connection=redis, serializer=JSONSerializer)


def begin_next(redis: Redis) -> str:
    """Take the next job and begin with it, as a worker does."""
    worker = SimpleWorker([queue_of(redis)], connection=redis, serializer=JSONSerializer)
    queued, _ = worker.dequeue_job_and_maintain_ttl(1) or pytest.fail("nothing is queued")
    worker.prepare_execution(queued)
    worker.prepare_job_execution(queued, remove_from_intermediate_queue=True)
    return queued.id


def hand_back(redis: Redis, job: str, outcome: JobOutcome) -> None:
    """Have the queue's next job, which must be this one, end so."""
    queued = QueuedJob.fetch(job, connection=redis, serializer=JSONSerializer)
    queued.func_name, queued.args = "tests.app.job_functions.hand_back", (outcome.model_dump_json(),)
    queued.save()
    worker = SimpleWorker([queue_of(redis)], connection=redis, serializer=JSONSerializer)
    worker.work(burst=True, logging_level="ERROR", max_jobs=1)


class TestAFlush:
    def test_jobs_are_queued_again_under_their_ids_in_their_order(self, jobs: Jobs, redis: Redis) -> None:
        before = [jobs.submit(accepted()) for _ in range(3)]
        redis.flushall()
        jobs.look_after()
        assert queue_of(redis).job_ids == [job.id for job in before]
        assert [jobs.view(job.id) for job in before] == before

    def test_whoever_is_asked_for_a_lost_job_queues_it_again(
        self, client: TestClient, jobs: Jobs, redis: Redis
    ) -> None:
        first, second = (jobs.submit(accepted()) for _ in range(2))
        redis.flushall()
        assert Job.model_validate_json(client.get(f"/jobs/{second.id}").content) == second
        assert queue_of(redis).job_ids == [first.id, second.id]

    def test_new_jobs_go_behind_the_lost_ones(self, jobs: Jobs, redis: Redis) -> None:
        old = [jobs.submit(accepted()).id for _ in range(2)]
        redis.flushall()
        new = jobs.submit(accepted())
        assert queue_of(redis).job_ids == [*old, new.id]
        assert new.position == 2

    def test_a_front_end_that_starts_finds_them(self, settings: Settings, jobs: Jobs, redis: Redis) -> None:
        job = jobs.submit(accepted()).id
        redis.flushall()
        with TestClient(create_app(settings)):
            deadline = time.monotonic() + 30
            while queue_of(redis).job_ids != [job]:
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def test_what_a_job_was_queued_with_is_queued_again(self, jobs: Jobs, redis: Redis) -> None:
        job = jobs.submit(accepted(expected_version=4)).id
        fields = ("data", "timeout", "result_ttl", "failure_ttl", "retries_left", "enqueue_at_front_on_retry", "meta")
        before = redis.hmget(f"rq:job:{job}", fields)
        redis.flushall()
        jobs.look_after()
        assert redis.hmget(f"rq:job:{job}", fields) == before
        assert QueuedJob.fetch(job, connection=redis, serializer=JSONSerializer).kwargs == {"expected_version": 4}

    def test_two_front_ends_queue_it_once(self, settings: Settings, jobs: Jobs, redis: Redis) -> None:
        before = [jobs.submit(accepted(model)).id for model in ("atlas",) * 3]
        front_ends = [Jobs(redis, EditLogs(settings.log_dir), settings) for _ in range(8)]
        for _ in range(5):
            redis.flushall()
            with ThreadPoolExecutor(len(front_ends)) as pool:
                list(pool.map(Jobs.look_after, front_ends))
            assert queue_of(redis).job_ids == before


class TestWhatHasEnded:
    def test_a_committed_job_is_told_from_the_log_and_not_queued_again(
        self, jobs: Jobs, redis: Redis, log: EditLog
    ) -> None:
        job, waiting = (jobs.submit(accepted()).id for _ in range(2))
        manifest = commit(log, job, LYON)
        redis.flushall()
        jobs.look_after()
        assert queue_of(redis).job_ids == [waiting]
        told = jobs.view(job)
        assert (told.status, told.version, told.report) == (JobStatus.SUCCEEDED, manifest.version, REPORT)

    @pytest.mark.parametrize("asked", [False, True], ids=["looked after", "asked for"])
    def test_a_job_that_did_not_commit_still_says_why(
        self, jobs: Jobs, redis: Redis, journal: AcceptedJournal, asked: bool
    ) -> None:
        job = jobs.submit(accepted()).id
        hand_back(redis, job, JobOutcome(status=JobStatus.REJECTED, report=REPORT))
        before = jobs.view(job) if asked else None
        jobs.look_after()
        redis.flushall()
        jobs.look_after()
        assert (queue_of(redis).job_ids, journal.jobs("atlas")) == ([], [])
        told = jobs.view(job)
        assert (told.status, told.report) == (JobStatus.REJECTED, REPORT)
        assert before in (None, told)

    def test_whoever_saw_it_in_a_list_can_rely_on_it(self, client: TestClient, jobs: Jobs, redis: Redis) -> None:
        job = jobs.submit(accepted()).id
        hand_back(redis, job, JobOutcome(status=JobStatus.FAILED))
        assert client.get("/jobs").json()["jobs"][0]["status"] == "failed"
        redis.flushall()
        jobs.look_after()
        assert queue_of(redis).job_ids == []

    def test_a_job_that_ended_after_it_was_queued_again_is_not_queued_once_more(
        self, jobs: Jobs, redis: Redis, journal: AcceptedJournal
    ) -> None:
        job = jobs.submit(accepted()).id
        worker = SimpleWorker([queue_of(redis)], connection=redis, serializer=JSONSerializer)
        queued, queue = worker.dequeue_job_and_maintain_ttl(1) or pytest.fail("nothing is queued")
        queued.func_name, queued.args = (
            "tests.app.job_functions.hand_back",
            (JobOutcome(status=JobStatus.REJECTED).model_dump_json(),),
        )
        redis.flushall()  # while the worker is at it
        jobs.look_after()
        worker.execute_job(queued, queue)
        assert jobs.view(job).status is JobStatus.REJECTED
        assert journal.jobs("atlas") == []
        redis.flushall()
        jobs.look_after()
        assert queue_of(redis).job_ids == []


class TestWhatAWorkerLeft:
    def test_of_a_job_that_was_flushed_as_it_began_is_no_job(self, jobs: Jobs, redis: Redis) -> None:
        job = jobs.submit(accepted()).id
        redis.flushall()
        redis.hset(f"rq:job:{job}", mapping={"status": "started", "worker_name": "w1"})
        jobs.look_after()
        assert queue_of(redis).job_ids == [job]
        assert jobs.view(job).status is JobStatus.QUEUED

    def test_a_job_that_fell_out_of_its_queue_is_put_back(self, jobs: Jobs, redis: Redis) -> None:
        job = jobs.submit(accepted()).id
        redis.delete(queue_of(redis).key)
        jobs.look_after()
        assert queue_of(redis).job_ids == [job]

    def test_a_job_that_a_worker_has_is_left_to_it(self, jobs: Jobs, redis: Redis) -> None:
        popped, begun = (jobs.submit(accepted()).id for _ in range(2))
        begin_next(redis)
        queue = queue_of(redis)
        redis.lmove(queue.key, queue.intermediate_queue_key)
        jobs.look_after()
        assert queue.job_ids == []
        assert {jobs.view(popped).status, jobs.view(begun).status} == {JobStatus.RUNNING, JobStatus.QUEUED}


def test_after_a_restart_the_journal_is_compared_before_anything_is_queued(
    jobs: Jobs, redis: Redis, log: EditLog
) -> None:
    old = jobs.submit(accepted()).id
    redis.set(keyspace.complete("atlas"), "the run id of another server")
    redis.delete(f"rq:job:{old}", queue_of(redis).key)  # as an older copy of the data has it
    new = jobs.submit(accepted()).id
    assert queue_of(redis).job_ids == [old, new]

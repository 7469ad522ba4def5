"""GET /jobs: what RQ and the edit log together know of a job. RQ's bookkeeping is real, done by its own worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from rq import Queue, SimpleWorker
from rq.job import Job as QueuedJob
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.domain.contract import Job, JobOutcome, JobStatus, Progress
from app.domain.errors import JobFailed
from app.domain.problems import problem_of
from app.jobs.jobs import Jobs
from app.settings import Settings
from tests.support.histories import BATCH, LYON, REPORT, accepted, begin, commit
from tests.support.queues import queue_of

WORK_FOREVER = """
import sys
from redis import Redis
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer
with Redis.from_url(sys.argv[1]) as redis:
    queue = Queue(sys.argv[2], connection=redis, serializer=JSONSerializer)
    SimpleWorker([queue], connection=redis, serializer=JSONSerializer).work()
"""


def work_off(redis: Redis, model: str = "atlas") -> None:
    """Run what is queued, with RQ's worker, here."""
    queue = queue_of(redis, model)
    SimpleWorker([queue], connection=redis, serializer=JSONSerializer).work(burst=True, logging_level="ERROR")


def run(redis: Redis, function: str, *arguments: object) -> str:
    """Queue and run a job of another function than ours, on the model's queue; its id."""
    queued = queue_of(redis).enqueue(f"tests.support.job_functions.{function}", *arguments)
    redis.zadd(keyspace.jobs("atlas"), {queued.id: time.time()})
    work_off(redis)
    return queued.id


def show(client: TestClient, job_id: str) -> Job:
    response = client.get(f"/jobs/{job_id}")
    assert response.status_code == 200, response.text
    return Job.model_validate_json(response.content)


class TestOneJob:
    def test_that_nobody_knows_is_not_found(self, client: TestClient) -> None:
        response = client.get("/jobs/nobody")
        assert (response.status_code, response.json()["code"]) == (404, "unknown_job")
        assert response.json()["value"] == "nobody"

    def test_of_another_users_queue_is_not_ours(self, client: TestClient, redis: Redis) -> None:
        foreign = Queue("theirs", connection=redis, serializer=JSONSerializer).enqueue("os.getcwd")
        assert client.get(f"/jobs/{foreign.id}").status_code == 404

    def test_runs_with_its_latest_progress(self, client: TestClient, redis: Redis, settings: Settings) -> None:
        progress = Progress(stage="targets", layer=2, step=3, steps=20, loss=1.5, share=0.1)
        job_id = run(redis, "look", settings.model_dump_json(), progress.model_dump_json())
        seen = Job.model_validate_json(redis.get(f"seen:{job_id}") or b"")
        assert (seen.id, seen.status, seen.progress) == (job_id, JobStatus.RUNNING, progress)
        assert (seen.position, seen.ended) == (None, None)
        assert seen.started is not None
        assert abs((datetime.now(UTC) - seen.started).total_seconds()) < 60

    @pytest.mark.parametrize(
        "outcome",
        [
            JobOutcome(status=JobStatus.SUCCEEDED, version=7, report=REPORT),
            JobOutcome(status=JobStatus.REJECTED, report=REPORT),
            JobOutcome(status=JobStatus.CANCELLED),
            JobOutcome(status=JobStatus.FAILED, error=problem_of(JobFailed("It diverged."))),
        ],
        ids=lambda outcome: outcome.status,
    )
    def test_ends_as_its_worker_says(self, client: TestClient, redis: Redis, outcome: JobOutcome) -> None:
        job = show(client, run(redis, "hand_back", outcome.model_dump_json()))
        assert (job.status, job.version) == (outcome.status, outcome.version)
        assert (job.report, job.error) == (outcome.report, outcome.error)
        assert job.started is not None
        assert job.ended is not None

    def test_that_failed_in_the_queue_tells_no_traceback(self, client: TestClient, redis: Redis) -> None:
        job = show(client, run(redis, "fail", "a secret of the worker"))
        assert job.status is JobStatus.FAILED
        assert job.error is not None
        assert (job.error.code, job.error.status) == ("edit_failed", 500)
        assert "RuntimeError" in job.error.detail
        assert "secret" not in job.error.detail

    def test_that_ran_out_of_time_says_so(self, client: TestClient, redis: Redis) -> None:
        queued = queue_of(redis).enqueue("tests.support.job_functions.sleep", 30, job_timeout=1)
        work_off(redis)
        job = show(client, queued.id)
        assert job.error is not None
        assert job.error.code == "deadline_exceeded"


class TestTheLogDecides:
    def test_when_the_queue_says_failed(self, client: TestClient, redis: Redis, settings: Settings) -> None:
        job_id = run(redis, "fail", "Redis was away at the end")
        manifest = commit(begin(settings), job_id, LYON)
        job = show(client, job_id)
        assert (job.status, job.version, job.report) == (JobStatus.SUCCEEDED, manifest.version, REPORT)
        assert job.error is None

    def test_when_the_worker_stumbled_after_its_commit(
        self, client: TestClient, redis: Redis, settings: Settings
    ) -> None:
        stumbled = JobOutcome(status=JobStatus.FAILED, error=problem_of(JobFailed("It could not publish.")))
        job_id = run(redis, "hand_back", stumbled.model_dump_json())
        commit(begin(settings), job_id, LYON)
        assert (show(client, job_id).status, show(client, job_id).error) == (JobStatus.SUCCEEDED, None)

    def test_when_the_queue_would_run_it_again(self, client: TestClient, jobs: Jobs, settings: Settings) -> None:
        job_id = jobs.submit(accepted()).id
        commit(begin(settings), job_id, LYON)
        job = show(client, job_id)
        assert (job.status, job.version, job.position) == (JobStatus.SUCCEEDED, 1, None)
        assert job.ended is not None

    def test_when_the_queue_has_lost_everything(self, client: TestClient, settings: Settings) -> None:
        log = begin(settings)
        commit(log, "job1", LYON)
        manifest = commit(log, "job2", *BATCH.facts)
        job = show(client, "job2")
        assert (job.model, job.status, job.version) == ("atlas", JobStatus.SUCCEEDED, 2)
        assert (job.facts, job.report, job.ended) == (2, REPORT, manifest.created)


class TestAWorkerThatDies:
    def test_leaves_its_job_to_be_tried_again_before_all_others(
        self, client: TestClient, jobs: Jobs, redis: Redis, redis_url: str
    ) -> None:
        first, second = (jobs.submit(accepted()).id for _ in range(2))
        queued = QueuedJob.fetch(first, connection=redis, serializer=JSONSerializer)
        queued.func_name, queued.args = "tests.support.job_functions.sleep", (60,)
        queued.save()
        command = [sys.executable, "-c", WORK_FOREVER, redis_url, keyspace.queue("atlas")]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as worker:
            while show(client, first).status is JobStatus.QUEUED:
                assert worker.poll() is None
                time.sleep(0.05)
            assert show(client, first).status is JobStatus.RUNNING
            os.kill(worker.pid, signal.SIGKILL)
        assert show(client, first).status is JobStatus.RUNNING  # nobody knows better yet
        queue_of(redis).started_job_registry.cleanup(timestamp=time.time() + 10**6)
        assert (show(client, first).status, show(client, first).position) == (JobStatus.QUEUED, 0)
        assert show(client, second).position == 1

    def test_again_and_again_makes_it_fail(self, client: TestClient, jobs: Jobs, redis: Redis) -> None:
        job_id = jobs.submit(accepted()).id
        for _ in range(4):
            worker = SimpleWorker([queue_of(redis)], connection=redis, serializer=JSONSerializer)
            queued, queue = worker.dequeue_job_and_maintain_ttl(1) or pytest.fail("it was not queued again")
            worker.prepare_execution(queued)
            worker.prepare_job_execution(queued)
            queue.started_job_registry.cleanup(timestamp=time.time() + 10**6)
        job = show(client, job_id)
        assert job.status is JobStatus.FAILED
        assert job.error is not None
        assert "worker died" in job.error.detail


class TestListOfJobs:
    def test_newest_first_over_all_models_without_reports(self, client: TestClient, jobs: Jobs, redis: Redis) -> None:
        outcome = JobOutcome(status=JobStatus.SUCCEEDED, version=1, report=REPORT)
        done = run(redis, "hand_back", outcome.model_dump_json())
        waiting = [jobs.submit(accepted(model)).id for model in ("atlas", "globe", "atlas")]
        listed = client.get("/jobs").json()["jobs"]
        assert [job["id"] for job in listed] == [*reversed(waiting), done]
        assert listed[-1]["version"] == 1
        assert listed[-1]["report"] is None

    def test_of_one_model_in_one_state_up_to_a_limit(self, client: TestClient, jobs: Jobs, redis: Redis) -> None:
        done = run(redis, "hand_back", JobOutcome(status=JobStatus.REJECTED).model_dump_json())
        atlas, globe, newest = (jobs.submit(accepted(model)).id for model in ("atlas", "globe", "atlas"))

        def ids(**parameters: str | int) -> list[str]:
            return [job["id"] for job in client.get("/jobs", params=parameters).json()["jobs"]]

        assert ids(model="globe") == [globe]
        assert ids(status="rejected") == [done]
        assert ids(status="queued", limit=2) == [newest, globe]
        assert ids(model="atlas", status="queued") == [newest, atlas]
        assert ids(model="nobody") == []

    @pytest.mark.parametrize(("name", "value"), [("status", "lost"), ("limit", "0"), ("limit", "201")])
    def test_a_wrong_filter_is_named(self, client: TestClient, name: str, value: str) -> None:
        response = client.get("/jobs", params={name: value})
        assert (response.status_code, response.json()["field"]) == (422, name)
        assert response.json()["value"] == value

    def test_what_was_forgotten_is_left_out(self, client: TestClient, jobs: Jobs, redis: Redis) -> None:
        old = run(redis, "hand_back", JobOutcome(status=JobStatus.REJECTED).model_dump_json())
        new = jobs.submit(accepted()).id
        redis.delete(QueuedJob.key_for(old))
        assert [job["id"] for job in client.get("/jobs").json()["jobs"]] == [new]

    def test_goes_on_after_the_last_one_of_an_earlier_list(self, client: TestClient, jobs: Jobs) -> None:
        submitted = [jobs.submit(accepted(model)).id for model in ("atlas", "globe", "atlas", "globe", "atlas")]
        listed: list[str] = []
        more = True
        while more:
            page = client.get("/jobs", params={"limit": 2, **({"after": listed[-1]} if listed else {})}).json()
            listed += [job["id"] for job in page["data"]]
            more = page["has_more"]
        assert listed == submitted[::-1]

    def test_goes_on_among_jobs_of_the_same_moment(self, client: TestClient, jobs: Jobs) -> None:
        now = datetime.now(UTC)
        for model in ("atlas", "globe", "atlas", "globe", "atlas", "globe"):
            jobs.submit(accepted(model, accepted=now))
        every = [job["id"] for job in client.get("/jobs").json()["data"]]
        assert len(every) == 6
        for at, job in enumerate(every):
            rest = client.get("/jobs", params={"after": job}).json()["data"]
            assert [each["id"] for each in rest] == every[at + 1 :]

    def test_after_a_job_that_is_not_listed_is_not_found(self, client: TestClient) -> None:
        response = client.get("/jobs", params={"after": "nobody"})
        assert (response.status_code, response.json()["code"]) == (404, "unknown_job")
        assert response.json()["field"] == "after"


class TestWhatClientsOfOpenAIRead:
    def test_a_list_says_what_it_is(self, client: TestClient, jobs: Jobs) -> None:
        job = jobs.submit(accepted()).id
        listed = client.get("/jobs").json()
        assert (listed["object"], listed["has_more"]) == ("list", False)
        assert listed["data"] == listed["jobs"]
        assert [each["id"] for each in listed["data"]] == [job]

    def test_a_job_tells_its_times_in_seconds(self, client: TestClient, jobs: Jobs) -> None:
        submitted = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
        job = jobs.submit(accepted(accepted=submitted)).id
        waits = client.get(f"/jobs/{job}").json()
        assert (waits["object"], waits["created_at"], waits["finished_at"]) == ("edit.job", 1767323045, None)
        client.post(f"/jobs/{job}/cancel")
        ended = client.get(f"/jobs/{job}").json()
        assert ended["finished_at"] == int(datetime.fromisoformat(ended["ended"]).timestamp())

    def test_an_error_is_an_object_with_code_message_and_param(self, client: TestClient, jobs: Jobs) -> None:
        job = jobs.submit(accepted()).id
        client.post(f"/jobs/{job}/cancel")
        for error in (client.get(f"/jobs/{job}").json()["error"], client.get("/jobs?limit=0").json()):
            assert (error["message"], error["param"]) == (error["detail"], error["field"])
            assert error["code"]

"""What was accepted is queued again when Redis has lost it: in its order, once, and never after it has ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import SimpleWorker
from rq.job import Job as QueuedJob
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.domain.contract import Job, JobOutcome, JobStatus
from app.domain.errors import Unavailable
from app.domain.log.edit_log import EditLog
from app.domain.manifest import Manifest
from app.domain.storage import durable_files
from app.edit_logs import EditLogs
from app.jobs.jobs import Jobs
from app.jobs.journal import AcceptedJournal
from app.jobs.queue import job_queue
from app.jobs.queue.job_queue import JobQueue
from app.jobs.queue.queued import Standing
from app.main import create_app
from app.settings import Settings
from tests.support.histories import LYON, REPORT, accepted, begin, commit
from tests.support.queues import Loss, begin_next, flush, meanwhile, queue_of, restart


@pytest.fixture
def log(settings: Settings) -> EditLog:
    return begin(settings)


@pytest.fixture
def journal(settings: Settings) -> AcceptedJournal:
    return AcceptedJournal(settings.accepted_dir)


def hand_back(redis: Redis, job: str, outcome: JobOutcome) -> None:
    """Have the queue's next job, which must be this one, end so."""
    queued = QueuedJob.fetch(job, connection=redis, serializer=JSONSerializer)
    queued.func_name, queued.args = "tests.support.job_functions.hand_back", (outcome.model_dump_json(),)
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
        fields = ("data", "timeout", "result_ttl", "failure_ttl", "retries_left", "enqueue_at_front_on_retry")
        before = redis.hmget(f"rq:job:{job}", fields)
        redis.flushall()
        jobs.look_after()
        assert redis.hmget(f"rq:job:{job}", fields) == before
        queued = QueuedJob.fetch(job, connection=redis, serializer=JSONSerializer)
        assert (queued.kwargs, queued.meta["facts"]) == ({"expected_version": 4}, 2)

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
            "tests.support.job_functions.hand_back",
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


@pytest.mark.parametrize("lose", [flush, restart])
class TestWhatIsLost:
    def test_before_a_submission_goes_before_it(
        self, jobs: Jobs, redis: Redis, monkeypatch: pytest.MonkeyPatch, lose: Loss
    ) -> None:
        old = [jobs.submit(accepted()).id for _ in range(2)]
        lose(redis, monkeypatch)
        new = jobs.submit(accepted())
        assert (queue_of(redis).job_ids, new.position) == ([*old, new.id], 2)

    @pytest.mark.parametrize("nth", [1, 2, 3])
    def test_while_lost_jobs_are_queued_again_is_queued_again_in_its_order(
        self, jobs: Jobs, redis: Redis, monkeypatch: pytest.MonkeyPatch, lose: Loss, nth: int
    ) -> None:
        before = [jobs.submit(accepted()).id for _ in range(3)]
        redis.flushall()
        meanwhile(monkeypatch, AcceptedJournal, "read", nth, partial(lose, redis, monkeypatch))
        jobs.look_after()
        assert queue_of(redis).job_ids == before

    @pytest.mark.parametrize(
        ("owner", "name", "nth"),
        [
            (AcceptedJournal, "accepting", 1),
            (durable_files, "fill", 1),
            (job_queue, "transact", 1),
            (JobQueue, "_job", 1),
        ],
        ids=["before it is written down", "as it is written down", "before it is queued", "as it is queued"],
    )
    def test_in_the_middle_of_a_submission_goes_before_it(
        self,
        jobs: Jobs,
        redis: Redis,
        journal: AcceptedJournal,
        monkeypatch: pytest.MonkeyPatch,
        lose: Loss,
        owner: object,
        name: str,
        nth: int,
    ) -> None:
        old = [jobs.submit(accepted()).id for _ in range(2)]
        era = redis.get(keyspace.era("atlas"))
        meanwhile(monkeypatch, owner, name, nth, partial(lose, redis, monkeypatch))
        new = jobs.submit(accepted())
        assert redis.get(keyspace.era("atlas")) != era
        assert (queue_of(redis).job_ids, new.position) == ([*old, new.id], 2)
        assert journal.jobs("atlas") == [*old, new.id]

    def test_before_a_submission_becomes_visible_is_queued_again_before_the_next(
        self, settings: Settings, jobs: Jobs, redis: Redis, monkeypatch: pytest.MonkeyPatch, lose: Loss
    ) -> None:
        def lose_and_recover() -> None:
            lose(redis, monkeypatch)
            Jobs(redis, EditLogs(settings.log_dir), settings).look_after()  # which knows nothing of it

        first = jobs.submit(accepted()).id
        meanwhile(monkeypatch, durable_files, "rename", 1, lose_and_recover)
        order = [first, *(jobs.submit(accepted()).id for _ in range(2))]
        assert queue_of(redis).job_ids == order


class TestWhatIsKnownToStand:
    """In one era Redis loses nothing: so nobody asks again for what was seen there."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        """The jobs that the queue was asked for, each time."""
        real, asked = JobQueue.standings, list[list[str]]()

        def standings(queue: JobQueue, model: str, job_ids: Sequence[str]) -> list[Standing | None]:
            asked.append(list(job_ids))
            return real(queue, model, job_ids)

        monkeypatch.setattr(JobQueue, "standings", standings)
        return asked

    def test_a_submission_asks_for_no_job_of_its_own_front_end(self, jobs: Jobs, asked: list[list[str]]) -> None:
        for _ in range(3):
            jobs.submit(accepted())
        assert asked == []

    def test_a_submission_asks_once_for_a_job_of_another_front_end(
        self, settings: Settings, jobs: Jobs, redis: Redis, asked: list[list[str]]
    ) -> None:
        other = Jobs(redis, EditLogs(settings.log_dir), settings).submit(accepted()).id
        for _ in range(2):
            jobs.submit(accepted())
        assert asked == [[other]]

    @pytest.mark.parametrize("lose", [flush, restart])
    def test_in_another_era_all_are_asked_for_again(
        self, jobs: Jobs, redis: Redis, monkeypatch: pytest.MonkeyPatch, lose: Loss, asked: list[list[str]]
    ) -> None:
        before = [jobs.submit(accepted()).id for _ in range(2)]
        lose(redis, monkeypatch)
        jobs.submit(accepted())
        assert asked == [before]

    def test_whoever_looks_after_jobs_asks_for_all_of_them(self, jobs: Jobs, asked: list[list[str]]) -> None:
        before = [jobs.submit(accepted()).id for _ in range(2)]
        jobs.look_after()
        assert asked == [before]


class TestWhatIsDamaged:
    def test_does_not_keep_new_edits_out(self, settings: Settings, jobs: Jobs, redis: Redis, log: EditLog) -> None:
        job = jobs.submit(accepted()).id
        hand_back(redis, job, JobOutcome(status=JobStatus.REJECTED, report=REPORT))
        damage(settings, commit(log, "job1", LYON))
        new = Jobs(redis, EditLogs(settings.log_dir), settings).submit(accepted())
        assert queue_of(redis).job_ids == [new.id]

    def test_is_of_one_model_and_leaves_the_others_alone(
        self, settings: Settings, jobs: Jobs, redis: Redis, log: EditLog
    ) -> None:
        jobs.submit(accepted())
        other = jobs.submit(accepted("globe")).id
        damage(settings, commit(log, "job1", LYON))
        redis.flushall()
        Jobs(redis, EditLogs(settings.log_dir), settings).look_after()
        assert queue_of(redis, "globe").job_ids == [other]

    def test_in_the_journal_is_no_room_for_new_edits(
        self, jobs: Jobs, redis: Redis, journal: AcceptedJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was accepted earlier goes before, and cannot be read."""

        def fail(*_: object) -> None:
            raise OSError(5, "Input/output error")

        earlier = jobs.submit(accepted()).id
        redis.flushall()
        with monkeypatch.context() as patched:
            patched.setattr(AcceptedJournal, "read_all", fail)
            with pytest.raises(Unavailable, match="Input/output error"):
                jobs.submit(accepted())
        assert journal.jobs("atlas") == [earlier]
        assert queue_of(redis).job_ids == []


def damage(settings: Settings, manifest: Manifest) -> None:
    path = Path(settings.log_dir) / "atlas" / "versions" / f"{manifest.version:08d}" / "manifest.json"
    path.write_bytes(path.read_bytes()[:-1])


def test_a_full_queue_that_redis_has_lost_is_full(jobs: Jobs, redis: Redis) -> None:
    before = [jobs.submit(accepted()).id for _ in range(3)]  # as many as the settings allow
    redis.flushall()
    with pytest.raises(Unavailable):
        jobs.submit(accepted())
    assert queue_of(redis).job_ids == before


def test_an_edit_that_redis_did_not_take_in_time_goes_before_the_next(
    settings: Settings, jobs: Jobs, redis: Redis, redis_url: str
) -> None:
    with Redis.from_url(redis_url, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as hasty:
        first = jobs.submit(accepted()).id
        redis.client_pause(60_000, all=False)
        second = Jobs(hasty, EditLogs(settings.log_dir), settings).submit(accepted()).id
        redis.client_kill_filter(_type="normal", skipme=True)  # so that it never comes
        redis.client_unpause()
    third = jobs.submit(accepted()).id
    assert queue_of(redis).job_ids == [first, second, third]


def test_flushed_again_and_again_while_front_ends_queue_them(settings: Settings, redis: Redis) -> None:
    front_ends = [Jobs(redis, EditLogs(settings.log_dir), settings) for _ in range(4)]
    before = [front_ends[0].submit(accepted()).id for _ in range(3)]
    with ThreadPoolExecutor(len(front_ends)) as pool:
        for pause_ms in range(20):
            redis.flushall()
            looking = [pool.submit(front_end.look_after) for front_end in front_ends]
            time.sleep(pause_ms / 1000)
            redis.flushall()
            for each in looking:
                each.result()
            front_ends[0].look_after()
            assert queue_of(redis).job_ids == before

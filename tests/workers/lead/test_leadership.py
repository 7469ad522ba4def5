"""One worker of a model leads at a time: a lease, and what becomes of a leader that has lost it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis
from rq.job import JobStatus as QueueStatus

from app.domain import keyspace
from app.domain.contract import EditBatch, FactKey, JobOutcome, Progress, Revert, Rollback
from app.domain.errors import LogLocked, StaleEpoch, VersionExists
from tests.support.turns import done
from tests.support.worker_bench import Bench, batch, leads, opened
from tests.support.worker_process import until
from tests.workers.host.test_versions import standing
from workers.host.model_host import ModelHost
from workers.lead.leadership import Leadership
from workers.lead.lease import Lease
from workers.queue.jobs import JobRun
from workers.queue.rq_worker import ModelWorker
from workers.stopping import Stopping


class TestLease:
    def test_one_worker_holds_it_until_it_gives_it_back(self, redis: Redis) -> None:
        one, other = (Lease(redis, "tiny", name, 30) for name in ("one", "other"))
        assert one.hold()
        assert not other.hold()
        assert one.hold()
        other.release()
        assert one.holder() == other.holder() == "one"
        one.release()
        assert other.hold()
        one.seize()
        assert (one.hold(), other.hold()) == (True, False)

    def test_it_ends_with_its_time(self, redis: Redis) -> None:
        one, other = Lease(redis, "tiny", "one", 0.05), Lease(redis, "tiny", "other", 30)
        one.hold()
        until(other.hold, "the lease does not end", seconds=5)
        assert not one.hold()

    def test_only_the_holder_takes_jobs(self, redis: Redis) -> None:
        one, other = (Lease(redis, "tiny", name, 30) for name in ("one", "other"))
        redis.rpush("queue", "first", "second")
        assert one.pop(redis, "queue", "taken") is None
        one.hold()
        assert other.pop(redis, "queue", "taken") is None
        assert one.pop(redis, "queue", "taken") == b"first"
        assert (redis.lrange("queue", 0, -1), redis.lrange("taken", 0, -1)) == ([b"second"], [b"first"])


def applied(host: ModelHost, job: str, request: EditBatch) -> JobOutcome:
    return done(host, job, request)


class TestLeadership:
    @pytest.fixture
    def hosts(self, model: Path, tmp_path: Path) -> Iterator[tuple[ModelHost, ModelHost]]:
        with opened(model, tmp_path, lead=False) as one, opened(model, tmp_path, lead=False) as other:
            yield one, other

    def test_a_lease_is_renewed_for_as_long_as_its_leader_lives(
        self, redis: Redis, hosts: tuple[ModelHost, ModelHost]
    ) -> None:
        one, other = (Lease(redis, "tiny", name, 0.5) for name in ("one", "other"))
        with Leadership(hosts[0], one, take_over=False) as leadership:
            looks = iter(range(30))
            until(lambda: other.hold() or next(looks, None) is None, "never")
            assert one.holder() == "one"
            leadership.confirm()
        assert other.hold()
        assert not hosts[0].leads

    def test_one_whose_lease_has_ended_is_overtaken_and_commits_no_more(
        self, redis: Redis, hosts: tuple[ModelHost, ModelHost]
    ) -> None:
        stopped, successor = hosts
        one, other = (Lease(redis, "tiny", name, 30) for name in ("one", "other"))
        with ExitStack() as stack:
            old = stack.enter_context(Leadership(stopped, one, take_over=False))
            applied(stopped, "first", batch())
            redis.delete(keyspace.lease("tiny"))  # as if it had not been renewed in time
            assert other.hold()
            new = stack.enter_context(Leadership(successor, other, take_over=True))
            with pytest.raises(StaleEpoch):
                applied(stopped, "second", batch("Oslo"))
            with pytest.raises(StaleEpoch):
                old.confirm()
            assert applied(successor, "second", batch("Oslo")).version == 2
            new.confirm()
            old.renew()
            with pytest.raises(StaleEpoch, match="other"):
                old.check()
        assert [manifest.job for manifest in successor.log.manifests()] == ["first", "second"]
        stopped.follow()
        assert standing(stopped) == standing(successor)

    def test_nobody_takes_the_log_from_one_that_leads_without_a_lease(
        self, redis: Redis, hosts: tuple[ModelHost, ModelHost]
    ) -> None:
        lease = Lease(redis, "tiny", "other", 30)
        lease.hold()
        with hosts[0].log.lead(), pytest.raises(LogLocked), Leadership(hosts[1], lease, take_over=True):
            pass
        assert lease.holder() is None
        hosts[0].lead()

    @pytest.mark.parametrize("found", ["before it begins", "when it would commit"])
    def test_what_an_earlier_leader_committed_meanwhile_is_not_taken_for_ones_own(
        self, hosts: tuple[ModelHost, ModelHost], monkeypatch: pytest.MonkeyPatch, found: str
    ) -> None:
        """A store without a lock: a leader is stopped just before the last step of its commit, and does that later."""
        stopped, successor = hosts
        stopped.lead(leased=True)
        successor.lead(leased=True, take_over=True)
        with monkeypatch.context() as patched:
            patched.setattr(stopped.log, "check_lead", lambda _: None)
            applied(stopped, "first", batch())
        if found == "when it would commit":
            monkeypatch.setattr(successor, "committed", lambda *_: None)
        with pytest.raises(VersionExists):
            applied(successor, "first", batch())
        assert (successor.version, [manifest.job for manifest in successor.log.manifests()]) == (0, ["first"])

    @pytest.mark.parametrize("change", [Rollback(to=0), Revert(facts=(FactKey(version=1, index=0),))])
    def test_an_overtaken_leader_takes_nothing_back_either(
        self, hosts: tuple[ModelHost, ModelHost], change: Rollback | Revert
    ) -> None:
        stopped, successor = hosts
        stopped.lead(leased=True)
        applied(stopped, "first", batch())
        successor.lead(leased=True, take_over=True)
        with pytest.raises(StaleEpoch):
            done(stopped, "second", change)
        assert (stopped.version, successor.log.head()) == (1, 1)


class TestJobsOfAnOvertakenLeader:
    """What is in the queue, and in other hands, is the next leader's."""

    @pytest.fixture
    def successor(self, redis: Redis) -> Lease:
        return Lease(redis, "tiny", "successor", 30)

    @pytest.fixture
    def leadership(self, bench: Bench) -> Leadership:
        bench.host.close()
        return Leadership(bench.host, Lease(bench.redis, "tiny", "overtaken", 30), take_over=False)

    def worker(self, bench: Bench, leadership: Leadership, report: Callable[[Progress], None]) -> ModelWorker:
        def make_run(job_id: str) -> JobRun:
            version, confirm = bench.host.version, leadership.confirm
            return JobRun(job_id, bench.host, version, report, leads, lambda *_: None, leadership.lose, confirm)

        return ModelWorker(
            keyspace.queue("tiny"), "tiny.overtaken", bench.redis, make_run, Stopping(), leadership, bench.aside
        )

    def test_one_that_comes_too_late_touches_none(self, bench: Bench, successor: Lease, leadership: Leadership) -> None:
        for job in ("one", "two"):
            bench.enqueue(job)
        bench.take("one")  # as the next leader does
        with leadership:
            successor.seize()
            worker = self.worker(bench, leadership, lambda _: None)
            worker.work(burst=True, logging_level=None)
        assert isinstance(worker.lead_lost, StaleEpoch)
        assert bench.queue.job_ids == ["two"]
        assert bench.queue.started_job_registry.get_job_ids(cleanup=False) == ["one"]
        assert successor.holder() == "successor"

    def test_one_that_is_overtaken_in_a_job_records_no_end_of_it(
        self, bench: Bench, model: Path, tmp_path: Path, successor: Lease, leadership: Leadership
    ) -> None:
        for job in ("one", "two"):
            bench.enqueue(job)
        overtaken_at: list[Progress] = []
        with opened(model, tmp_path, lead=False) as next_one, leadership:

            def overtake(progress: Progress) -> None:
                if not overtaken_at:
                    successor.seize()
                    next_one.lead(leased=True, take_over=True)
                overtaken_at.append(progress)

            worker = self.worker(bench, leadership, overtake)
            worker.work(burst=True, logging_level=None)
            assert isinstance(worker.lead_lost, StaleEpoch)
            assert bench.job("one").get_status() is QueueStatus.STARTED
            assert bench.queue.job_ids == ["two"]
            assert next_one.log.head() == 0
            bench.host = next_one
            bench.work()
        assert [bench.outcome(job).version for job in ("one", "two")] == [1, 2]

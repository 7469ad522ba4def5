"""A helper takes what it can compute, refuses what is no slice, and stops for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.domain.errors import JobCancelled
from app.domain.queued_calls import SLICE
from tests.support.logs import files_of
from tests.support.spreads import announce, helped, helping, many, report_of
from tests.support.turns import Watched, done
from tests.support.worker_bench import opened
from workers.host.model_host import ModelHost
from workers.queue.slices.heap import SliceHeap
from workers.spreading.pile import Spread

SPREAD = "0123456789abcdef"


@pytest.fixture
def host(model: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(model, tmp_path) as leader:
        yield leader


def queued(redis: Redis, function: str, *args: object, about: Spread | None = None) -> Queue:
    """The queue of slices with one job in it, of a spread that lives."""
    queue = Queue(keyspace.slices("tiny"), connection=redis, serializer=JSONSerializer)
    queue.enqueue_call(function, args=args, job_id=f"{SPREAD}-1")
    if about is not None:
        redis.set(keyspace.spread(SPREAD), about.model_dump_json(), ex=60)
    return queue


@pytest.mark.parametrize(("function", "argument"), [("os.system", "true"), (SLICE, "{}"), (SLICE, "nonsense")])
def test_what_is_no_slice_is_taken_and_not_run(redis: Redis, host: ModelHost, function: str, argument: str) -> None:
    queue = queued(redis, function, argument, about=Spread(version=0, dtype="float32"))
    helping(redis, host, "helper").help_out()
    assert queue.job_ids == []
    assert queue.failed_job_registry.get_job_ids() == [f"{SPREAD}-1"]
    assert not redis.exists(keyspace.spread_answers(SPREAD))


@pytest.mark.parametrize("about", [None, Spread(version=0, dtype="bfloat16"), Spread(version=3, dtype="float32")])
def test_what_it_cannot_compute_or_nobody_waits_for_it_leaves(
    redis: Redis, host: ModelHost, about: Spread | None
) -> None:
    queue = queued(redis, SLICE, "{}", about=about)
    helping(redis, host, "helper").help_out()
    assert queue.job_ids == [f"{SPREAD}-1"]


def test_a_small_batch_and_one_without_helpers_are_not_spread(redis: Redis, host: ModelHost) -> None:
    host.spread_over(SliceHeap(redis, host.name, lambda: None))
    assert report_of(host, many(20), "no-helpers").spread is None
    announce(redis, host, "asleep")
    assert report_of(host, many(15), "small").spread is None


def test_helpers_that_never_come_cost_nothing_and_the_log_is_the_same(redis: Redis, host: ModelHost) -> None:
    announce(redis, host, "asleep")
    host.spread_over(SliceHeap(redis, host.name, lambda: None))
    spread = report_of(host, many(20)).spread
    assert spread is not None
    assert (spread.workers, spread.redone) == (1, 0)


def test_a_cancelled_batch_leaves_no_slices_and_no_trace(redis: Redis, host: ModelHost, tmp_path: Path) -> None:
    announce(redis, host, "asleep")
    host.spread_over(SliceHeap(redis, host.name, lambda: None))
    before = files_of(tmp_path / "log")

    def cancel() -> None:
        raise JobCancelled("the job was cancelled before it committed")

    with pytest.raises(JobCancelled):
        done(host, "one", many(20), Watched(check=cancel))
    assert files_of(tmp_path / "log") == before
    assert Queue(keyspace.slices("tiny"), connection=redis).job_ids == []
    assert list(redis.scan_iter(f"{keyspace.spread('')}*")) == []


def test_without_redis_the_leader_computes_alone(redis: Redis, host: ModelHost) -> None:
    announce(redis, host, "asleep")
    with Redis(port=1) as away:
        host.spread_over(SliceHeap(away, host.name, lambda: None))
        assert report_of(host, many(20)).spread is None


def test_a_replica_that_is_behind_follows_before_it_helps(
    redis: Redis, host: ModelHost, model: Path, tmp_path: Path
) -> None:
    with opened(model, tmp_path, lead=False) as replica:
        report_of(host, many(3), "before")
        assert replica.version == 0
        with helped(redis, host, replica):
            report_of(host, many(30).model_copy(update={"facts": many(60).facts[30:]}), "two")
        replica.follow()
        assert replica.version == host.version == 2

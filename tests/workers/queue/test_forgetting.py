"""A job that has ended is forgotten in Redis when its time is over: nothing of it is left, however it ended."""

from __future__ import annotations

import json
from collections.abc import Sequence

from app.domain import keyspace
from tests.support.worker_bench import APPLY, Bench
from tests.support.worker_process import until
from workers.queue.abandoned import requeue_abandoned

TTL_S = 1
SOON_S = 600


def enqueue(bench: Bench, job: str, function: str = APPLY, args: Sequence[object] | None = None) -> None:
    bench.enqueue(job, function, args, result_ttl=TTL_S, failure_ttl=TTL_S)


def left_of(bench: Bench, *jobs: str) -> list[bytes]:
    """Keys that name a job, and members of RQ's registries that do; but for keys that end by themselves within minutes.

    Progress has a time of its own.
    """
    keys = [key for key in bench.redis.scan_iter() if any(job.encode() in key for job in jobs)]
    keys = [key for key in keys if not TTL_S < int(bench.redis.ttl(key)) < SOON_S]
    registries = [key for key in bench.redis.scan_iter("rq:*") if bench.redis.type(key) == b"zset"]
    members = [member for key in registries for member in bench.redis.zrange(key, 0, -1)]
    listed = [member for member in members if any(job.encode() in member for job in jobs)]
    return [key for key in keys if not key.startswith(keyspace.progress("").encode())] + listed


def test_one_that_succeeded_one_that_failed_and_one_that_was_refused(bench: Bench) -> None:
    enqueue(bench, "succeeds")
    enqueue(bench, "fails", args=(json.dumps({"facts": []}),))
    enqueue(bench, "refused", "os.system", ("true",))
    worker = bench.work()
    jobs = ("succeeds", "fails", "refused")
    assert left_of(bench, *jobs)

    def forgotten() -> bool:
        worker.clean_registries()
        return left_of(bench, *jobs) == []

    until(forgotten, "something of them is left", 20)
    assert bench.host.log.head() == 1, "the version stays"


def test_one_that_took_its_worker_down_again_and_again(bench: Bench) -> None:
    enqueue(bench, "deadly")
    dead = bench.take("deadly")
    for key in (dead.key, f"rq:execution:{next(iter(dead.executions), None)}"):
        bench.redis.delete(key)
    bench.redis.hset("rq:job:deadly", "retries_left", "0")
    worker = bench.worker()
    assert requeue_abandoned(worker, bench.queue, lambda _: False) == []

    def forgotten() -> bool:
        worker.clean_registries()
        return left_of(bench, "deadly") == []

    until(forgotten, "something of it is left", 30)
    assert bench.host.log.head() == 0


def test_one_that_waits_is_never_forgotten(bench: Bench) -> None:
    enqueue(bench, "waits")
    assert bench.redis.ttl("rq:job:waits") == -1

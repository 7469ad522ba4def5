"""Slices that nobody waits for any more, taken out of all that RQ keeps of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.results import Result
from rq.utils import as_text

from app.domain import keyspace


def id_of(spread: str, index: int) -> str:
    """The id of a slice's job."""
    return f"{spread}-{index}"


def spread_of(job_id: str) -> str:
    """The spread that a slice's job belongs to."""
    return job_id.partition("-")[0]


def sweep(queue: Queue) -> None:
    """Remove the slices of all spreads that are over: those that ended, and those whose leader died."""
    redis, started = queue.connection, queue.started_job_registry
    running = started.get_job_and_execution_ids(cleanup=False)
    ended = (queue.finished_job_registry.key, queue.failed_job_registry.key)
    listed = (queue.key, queue.intermediate_queue_key)
    known = {
        *(as_text(each) for key in listed for each in cast("list[bytes]", redis.lrange(key, 0, -1))),
        *(as_text(each) for key in ended for each in cast("list[bytes]", redis.zrange(key, 0, -1))),
        *(job_id for job_id, _ in running),
    }
    over = {each for each in known if not redis.exists(keyspace.spread(spread_of(each)))}
    if not over:
        return
    with redis.pipeline() as pipeline:
        for job_id in over:
            for key in listed:
                pipeline.lrem(key, 0, job_id)
            for key in ended:
                pipeline.zrem(key, job_id)
            spread = spread_of(job_id)
            pipeline.delete(
                keyspace.spread_updates(spread), keyspace.spread_signs(spread), keyspace.spread_answers(spread)
            )
            pipeline.delete(Job.key_for(job_id), Result.get_key(job_id))  # type: ignore[no-untyped-call]
        for job_id, execution_id in _of(over, running):
            execution = Execution(execution_id, job_id, redis)
            pipeline.zrem(started.key, execution.composite_key)
            pipeline.delete(execution.key)
        pipeline.execute()


def _of(jobs: set[str], running: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    return (each for each in running if each[0] in jobs)

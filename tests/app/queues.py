"""The queue as RQ and its workers see it, and what befalls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from redis import Redis
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from app.domain import keyspace

Loss = Callable[[Redis], None]
Data = Mapping[str | bytes, bytes | None]


def queue_of(redis: Redis, model: str = "atlas") -> Queue:
    return Queue(keyspace.queue(model), connection=redis, serializer=JSONSerializer)


def begin_next(redis: Redis) -> str:
    """Take the next job and begin with it, as a worker does."""
    worker = SimpleWorker([queue_of(redis)], connection=redis, serializer=JSONSerializer)
    queued, _ = worker.dequeue_job_and_maintain_ttl(1) or pytest.fail("nothing is queued")
    worker.prepare_execution(queued)
    worker.prepare_job_execution(queued, remove_from_intermediate_queue=True)
    return queued.id


def flush(redis: Redis) -> None:
    redis.flushall()


def restart(redis: Redis) -> None:
    """As a server that comes back with an older copy of its data, from before anything was queued."""
    restart_with(redis, {})


def copy_of(redis: Redis) -> Data:
    """All data, by their keys."""
    return {key: redis.dump(key) for key in redis.scan_iter()}


def restart_with(redis: Redis, copy: Data) -> None:
    """As a server that comes back with this copy of its data, under another run id."""
    redis.flushall()
    for key, value in copy.items():
        redis.restore(key, 0, value or b"")
    redis.set(keyspace.era("atlas"), "the run id of another server")

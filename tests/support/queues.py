"""The queue as RQ and its workers see it, and losses of Redis' data."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import Any

import pytest
from redis import Redis
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.jobs.queue import looks

Loss = Callable[[Redis, pytest.MonkeyPatch], None]
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


def flush(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is lost."""
    redis.flushall()


def restart(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a server that comes back with an older copy of its data, from before any job was queued."""
    era = keyspace.era("atlas")
    restart_with(redis, monkeypatch, {era: redis.dump(era)})


def copy_of(redis: Redis) -> Data:
    """All data, by their keys."""
    return {key: redis.dump(key) for key in redis.scan_iter()}


def restart_with(redis: Redis, monkeypatch: pytest.MonkeyPatch, copy: Data) -> None:
    """As a server that comes back with this copy of its data, under another run id."""
    run_id = token_hex(20)
    redis.flushall()
    for key, value in copy.items():
        redis.restore(key, 0, value or b"")
    monkeypatch.setattr(looks, "run_id", lambda _: run_id)


def meanwhile(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, nth: int, loss: Callable[[], object]) -> None:
    """Have the loss happen just before the nth call of a function."""
    call, calls = getattr(owner, name), itertools.count(1)

    def after(*arguments: Any, **more: Any) -> Any:
        if next(calls) == nth:
            loss()
        return call(*arguments, **more)

    monkeypatch.setattr(owner, name, after)

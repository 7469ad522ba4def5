"""How much waits in each model's queue, and for how long: what a scrape reads, in two round trips."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from redis import Redis
from rq import Queue
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer
from rq.utils import as_text, utcparse

from app.domain import keyspace


@dataclass(frozen=True, slots=True)
class Depth:
    """One model's queue.

    oldest_s: seconds since the job that is next was accepted; 0 if none waits.
    """

    model: str
    waiting: int
    running: int
    oldest_s: float


def depths(redis: Redis) -> list[Depth]:
    """The queue of each model that ever had a job, by name. May raise ``RedisError``."""
    prefix = keyspace.queue("")
    queues = [each for each in Queue.all(redis, serializer=JSONSerializer) if each.name.startswith(prefix)]
    queues.sort(key=lambda queue: queue.name)
    with redis.pipeline(transaction=False) as pipeline:
        for queue in queues:
            pipeline.llen(queue.key)
            pipeline.lindex(queue.key, 0)  # a job that is tried again goes to the front: it is the oldest too
            pipeline.zcard(queue.started_job_registry.key)
        found = pipeline.execute()
    heads = [None if head is None else as_text(head) for head in found[1::3]]
    ages = _ages(redis, heads)
    rows = zip(queues, found[::3], found[2::3], ages, strict=True)
    return [Depth(queue.name.removeprefix(prefix), waiting, running, age) for queue, waiting, running, age in rows]


def _ages(redis: Redis, jobs: list[str | None]) -> list[float]:
    with redis.pipeline(transaction=False) as pipeline:
        for job in filter(None, jobs):
            pipeline.hget(RQJob.key_for(job), "created_at")
        created = iter(pipeline.execute())
    return [0.0 if job is None else _age(next(created)) for job in jobs]


def _age(created: bytes | None) -> float:
    """0 for a job that has just left."""
    if created is None:
        return 0.0
    at = utcparse(as_text(created))
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (datetime.now(UTC) - at).total_seconds())

"""What Redis has of a model's queue: of one job in one step, of many in two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from redis import Redis
from redis.client import Pipeline
from rq import Queue
from rq.job import Job as RQJob
from rq.job import JobStatus as RQStatus
from rq.utils import as_text

from app.domain import keyspace
from app.jobs.queue.queued import Standing


@dataclass(frozen=True, slots=True)
class Seen:
    """What has to be known before a job is queued.

    era: the token of the current era; None if the last one is over.
    stands: whether the queue knows the job and, if its status says that it waits, has a place for it.
    waiting: how many jobs wait.
    """

    era: str | None
    stands: bool
    waiting: int


def look(redis: Redis, model: str, queue: Queue, job_id: str) -> Seen:
    """Look at a queue, and at one job. No script, which servers take for a write: they may hold writes back."""
    key = RQJob.key_for(job_id)
    with redis.pipeline(transaction=True) as asked:
        asked.get(keyspace.era(model))
        asked.info("server")
        asked.llen(queue.key)
        asked.hget(key, "status")
        asked.hexists(key, "data")
        asked.lpos(queue.key, job_id)
        asked.lpos(queue.intermediate_queue_key, job_id)
        noted, server, waiting, status, whole, *places = asked.execute()
    in_line = any(place is not None for place in places)
    stands = _standing(status, whole=whole, in_line=in_line) is not None
    return Seen(_lasting(noted, run_id(server["run_id"])), stands, waiting)


def standings(redis: Redis, queue: Queue, job_ids: Sequence[str]) -> list[Standing | None]:
    """How far each job is; None if Redis has lost it: the job, or its place in the queue although it waits.

    Those that wait in the queue are looked at no closer: they are the most, and no loss of Redis leaves a place alone.
    """
    with redis.pipeline(transaction=True) as lines:
        lines.lrange(queue.key, 0, -1)
        lines.lrange(queue.intermediate_queue_key, 0, -1)
        waiting, taken = ({as_text(job_id) for job_id in line} for line in lines.execute())
    others = [job_id for job_id in job_ids if job_id not in waiting]
    with redis.pipeline(transaction=True) as jobs:
        for job_id in others:
            jobs.hget(RQJob.key_for(job_id), "status")
            jobs.hexists(RQJob.key_for(job_id), "data")
        found = jobs.execute()
    fields = zip(others, found[::2], found[1::2], strict=True)
    known = {job: _standing(status, whole=whole, in_line=job in taken) for job, status, whole in fields}
    return [known.get(job_id, Standing.WAITS) for job_id in job_ids]


def current_era(connection: Pipeline, model: str) -> str | None:
    """The token of the current era; None if the last one is over."""
    return _lasting(cast("bytes | None", connection.get(keyspace.era(model))), this_run(connection))


def this_run(connection: Pipeline) -> str:
    """The server's run id, which is another one after each restart."""
    return run_id(connection.info("server")["run_id"])


def run_id(told: str | bytes) -> str:
    """The run id as the server tells it."""
    return as_text(told)


def _lasting(noted: bytes | None, run: str) -> str | None:
    """The noted era's token, if it is of this run of the server."""
    era = as_text(noted) if noted else ""
    return era if era.startswith(run) else None


def _standing(status: bytes | None, *, whole: bool, in_line: bool) -> Standing | None:
    if status is None or not whole:
        return None
    said = RQStatus(as_text(status))
    return Standing.of(said) if in_line or said is not RQStatus.QUEUED else None

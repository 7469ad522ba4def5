"""One look at the queue for many jobs at once: enough to see whether anything has changed, and the steps reported."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, cast

from pydantic import ValidationError
from redis import Redis
from rq import Queue
from rq.job import Job as RQJob
from rq.job import JobStatus as RQStatus
from rq.serializers import JSONSerializer
from rq.utils import as_text

from app.domain import keyspace
from app.domain.contract import Progress
from app.jobs.queue.queued import Standing


class StepId(NamedTuple):
    """The place of a step among those that a job's workers have reported: an id of its Redis Stream."""

    milliseconds: int = 0
    number: int = 0

    @classmethod
    def of(cls, text: str) -> Self:
        """The id that stands in a text such as ``1700000000000-3``.

        Raises:
            ValueError: the text is no such id.
        """
        if not re.fullmatch(r"[0-9]{1,20}-[0-9]{1,20}", text):
            raise ValueError(text)
        milliseconds, _, number = text.partition("-")
        return cls(int(milliseconds), int(number))

    def __str__(self) -> str:
        return f"{self.milliseconds}-{self.number}"


START = StepId()
"""Before every step."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that a job's worker has reported."""

    id: StepId
    progress: Progress


@dataclass(frozen=True, slots=True)
class LookAt:
    """A job to look at: its model, and the last of its steps that are known already."""

    job: str
    model: str
    last: StepId


@dataclass(frozen=True, slots=True)
class Glance:
    """What the queue shows of a job.

    standing: None: the queue does not know the job. position: jobs before it, if it waits in its queue.
    """

    standing: Standing | None
    position: int | None
    steps: tuple[Step, ...]


class Glances:
    """Looks at any number of jobs in one exchange with Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def of(self, jobs: Sequence[LookAt]) -> list[Glance]:
        """How the jobs stand, in their order; of each the steps after the last that is known.

        Raises:
            RedisError: Redis is away.
        """
        models = sorted({look.model for look in jobs})
        with self._redis.pipeline(transaction=False) as pipeline:
            for model in models:
                pipeline.lrange(self._waiting(model), 0, -1)
            for look in jobs:
                pipeline.hget(RQJob.key_for(look.job), "status")  # first: a job that has ended reports no more steps
                pipeline.xrange(keyspace.progress(look.job), min=f"({look.last}")
            answers = pipeline.execute()
        lines = {model: _positions(line) for model, line in zip(models, answers, strict=False)}
        found = iter(answers[len(models) :])
        return [
            Glance(_standing(status), lines[look.model].get(look.job), tuple(_steps(entries)))
            for look, status, entries in zip(jobs, found, found, strict=False)
        ]

    def steps(self, job: str, last: StepId) -> tuple[Step, ...]:
        """The steps of a job after one of them, as far as Redis still has them."""
        entries = self._redis.xrange(keyspace.progress(job))
        return tuple(step for step in _steps(cast("Entries", entries)) if step.id > last)

    def _waiting(self, model: str) -> str:
        return str(Queue(keyspace.queue(model), connection=self._redis, serializer=JSONSerializer).key)


Entries = Iterable[tuple[bytes, dict[bytes, bytes]]]


def _standing(status: bytes | None) -> Standing | None:
    return None if status is None else Standing.of(RQStatus(as_text(status)))


def _positions(line: Sequence[bytes]) -> dict[str, int]:
    return {as_text(job): position for position, job in enumerate(line)}


def _steps(entries: Entries) -> Iterator[Step]:
    for name, entry in entries:
        try:
            progress = Progress.model_validate_json(entry.get(b"json", b""))
        except ValidationError:  # of another release: a step is a courtesy
            continue
        yield Step(StepId.of(as_text(name)), progress)

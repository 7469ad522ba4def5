"""A job that somebody follows: what is known of it, told to any number of listeners as events of one stream.

Every event is made and encoded once, whoever listens. A listener that is slow misses statuses that are out of date, and
steps beyond the last ``MOST_STEPS``.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable
from typing import Literal

from pydantic import BaseModel
from sse_starlette import ServerSentEvent

from app.domain.contract import Job
from app.jobs.queue.glances import START, Step, StepId

MOST_STEPS = 2000
"""Of one job that are remembered; a worker keeps about half of that in Redis."""
LAST = "end"
"""The id of the last event: who comes back with it has heard all."""

Name = Literal["status", "progress", "end"]


class WatchedJob:
    """The newest status of a job, the steps reported, and those who listen."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.listeners = 0
        self.gone = False
        self._steps: list[tuple[StepId, bytes]] = []
        self._status, self._said = b"", 0
        self._changed = asyncio.Event()
        self._say()

    @property
    def last(self) -> StepId:
        """The last step that is known."""
        return self._steps[-1][0] if self._steps else START

    @property
    def over(self) -> bool:
        """Whether there is nothing more to come."""
        return self.gone or self.job.status.final

    def update(self, job: Job | None, steps: Iterable[Step] = ()) -> None:
        """Take in how the job stands, if that has changed, and the steps after those that are known."""
        more = [(step.id, _event("progress", step.progress, str(step.id))) for step in steps if step.id > self.last]
        self._steps = (self._steps + more)[-MOST_STEPS:]
        if job is not None:
            self.job = job
            self._say()
        if more or job is not None:
            self._wake()

    def forget(self) -> None:
        """The job is not known any more: its listeners are let go."""
        self.gone = True
        self._wake()

    async def events(self, after: StepId = START) -> AsyncIterator[bytes]:
        """The job's status, its steps after one of them, and what comes; at the job's end the whole job.

        Each is encoded as a server-sent event. A step has an id, from which a listener can go on; a status has none.
        """
        said = 0
        while True:
            changed, over = self._changed, self.over
            if not over and said != self._said:
                said = self._said
                yield self._status
            at = bisect_right(self._steps, after, key=lambda step: step[0])
            for step, encoded in self._steps[at:]:
                yield encoded
                after = step
            if over:
                break
            if changed is self._changed:
                await changed.wait()
        if not self.gone:
            yield self._status
            yield _event("end", self.job, LAST)

    def _say(self) -> None:
        self._status, self._said = _event("status", self.job.brief), self._said + 1

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _event(name: Name, data: BaseModel, event_id: str | None = None) -> bytes:
    return ServerSentEvent(data.model_dump_json(), event=name, id=event_id).encode()

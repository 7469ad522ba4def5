"""A job that somebody follows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import httpx

from app.client import calls
from app.client.connection import SILENCE_S, AsyncConnection, Connection
from app.client.errors import JobUnsuccessful, ServiceUnreachable, Unavailable, WaitTimeout
from app.client.events import EventStream, JobEvent, streams
from app.domain.contract import Job, JobStatus

MOST_BREAKS = 5
"""Times that an event stream may break without an event in between."""
BREAK_PAUSE_S = 0.5
FIRST_POLL_S, LONGEST_POLL_S = 0.1, 1.0


class Following:
    """What both handles know of a job, and how they judge what they hear."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id

    @property
    def status(self) -> JobStatus:
        """As last heard."""
        return self.job.status

    @property
    def _events(self) -> str:
        return f"{calls.job_path(self.id)}/events"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"

    def _heard(self, event: JobEvent) -> JobEvent:
        if event.job is not None:
            self.job = event.job
        elif event.progress is not None:
            self.job = self.job.model_copy(update={"progress": event.progress, "status": JobStatus.RUNNING})
        return event

    def _asked(self, job: Job) -> list[JobEvent]:
        """What is new about a job that was asked for."""
        before, self.job = self.job, job
        if job.status.final:
            return [JobEvent("end", job=job)]
        moved = [JobEvent("status", job=job)] if job.status is not before.status else []
        if job.progress is not None and job.progress != before.progress:
            moved.append(JobEvent("progress", progress=job.progress))
        return moved

    def _judged(self, job: Job, *, check: bool) -> Job:
        if check and job.status not in (JobStatus.SUCCEEDED, JobStatus.PROPOSED):
            raise JobUnsuccessful(job)
        return job

    def _late(self, deadline: float | None) -> None:
        if deadline is not None and time.monotonic() >= deadline:
            raise WaitTimeout(f"job {self.id} is {self.status}, and the time to wait is over")


def _silence(deadline: float | None) -> float:
    """How long a stream may say nothing."""
    return SILENCE_S if deadline is None else max(0.01, min(SILENCE_S, deadline - time.monotonic()))


class JobHandle(Following):
    """A job of ``Client``. ``job`` is what was last heard of it."""

    def __init__(self, connection: Connection, job: Job) -> None:
        super().__init__(job)
        self._connection = connection

    def refresh(self) -> Job:
        """Ask how the job stands."""
        self.job = self._connection.send(calls.job(self.id))
        return self.job

    def cancel(self) -> Job:
        """Ask for the job to end without a trace; one that runs ends at its next step.

        Raises:
            Conflict: it has ended.
        """
        self.job = self._connection.send(calls.cancel(self.id))
        return self.job

    def wait(self, timeout_s: float | None = None, *, check: bool = True) -> Job:
        """Wait until the job has ended; it with its report.

        An edit that was proposed has done what it could: its ``proposal`` waits, and its ``version`` is None.

        Args:
            timeout_s: None: for ever.
            check: raise if it did not do what it was to.

        Raises:
            JobUnsuccessful: it failed, or was rejected or cancelled. WaitTimeout: it has not ended.
        """
        for event in self.events(timeout_s):
            if event.kind == "end" and event.job is not None:
                return self._judged(event.job, check=check)
        raise ServiceUnreachable(f"the events of job {self.id} ended before it did")

    def events(self, timeout_s: float | None = None) -> Iterator[JobEvent]:
        """What happens to the job, until it ends; the last event has it with its report.

        A stream that breaks is taken up where it was. Where the service has none, the job is asked for instead.

        Raises:
            WaitTimeout: it has not ended in time.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        stream, breaks = EventStream(), 0
        while breaks < MOST_BREAKS:
            try:
                with self._connection.stream(self._events, stream.headers(), _silence(deadline)) as response:
                    if not response.is_success:
                        response.read()
                    if not streams(response):
                        break
                    for chunk in response.iter_bytes():
                        for event in stream.feed(chunk):
                            breaks = 0
                            yield self._heard(event)
                            if event.kind == "end":
                                return
                        self._late(deadline)
            except (httpx.TransportError, Unavailable):
                self._late(deadline)
            breaks += 1
            time.sleep(BREAK_PAUSE_S)
        yield from self._polled(deadline)

    def _polled(self, deadline: float | None) -> Iterator[JobEvent]:
        pause = FIRST_POLL_S
        while True:
            for event in self._asked(self._connection.send(calls.job(self.id))):
                yield event
                if event.kind == "end":
                    return
            self._late(deadline)
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_POLL_S)


class AsyncJobHandle(Following):
    """A job of ``AsyncClient``, as ``JobHandle`` is one of ``Client``."""

    def __init__(self, connection: AsyncConnection, job: Job) -> None:
        super().__init__(job)
        self._connection = connection

    async def refresh(self) -> Job:
        """As ``JobHandle.refresh``."""
        self.job = await self._connection.send(calls.job(self.id))
        return self.job

    async def cancel(self) -> Job:
        """As ``JobHandle.cancel``."""
        self.job = await self._connection.send(calls.cancel(self.id))
        return self.job

    async def wait(self, timeout_s: float | None = None, *, check: bool = True) -> Job:
        """As ``JobHandle.wait``."""
        async for event in self.events(timeout_s):
            if event.kind == "end" and event.job is not None:
                return self._judged(event.job, check=check)
        raise ServiceUnreachable(f"the events of job {self.id} ended before it did")

    async def events(self, timeout_s: float | None = None) -> AsyncIterator[JobEvent]:
        """As ``JobHandle.events``."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        stream, breaks = EventStream(), 0
        while breaks < MOST_BREAKS:
            try:
                async with self._connection.stream(self._events, stream.headers(), _silence(deadline)) as response:
                    if not response.is_success:
                        await response.aread()
                    if not streams(response):
                        break
                    async for chunk in response.aiter_bytes():
                        for event in stream.feed(chunk):
                            breaks = 0
                            yield self._heard(event)
                            if event.kind == "end":
                                return
                        self._late(deadline)
            except (httpx.TransportError, Unavailable):
                self._late(deadline)
            breaks += 1
            await asyncio.sleep(BREAK_PAUSE_S)
        async for event in self._polled(deadline):
            yield event

    async def _polled(self, deadline: float | None) -> AsyncIterator[JobEvent]:
        pause = FIRST_POLL_S
        while True:
            for event in self._asked(await self._connection.send(calls.job(self.id))):
                yield event
                if event.kind == "end":
                    return
            self._late(deadline)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_POLL_S)

"""Follows all jobs that somebody listens to: one look at Redis tells of all of them, however many listen."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Self

import anyio
from redis import Redis
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from app.access.caller import Caller
from app.domain.contract import Job, JobStatus
from app.domain.errors import PalimpsestError, UnknownJob
from app.jobs.jobs import Jobs, unknown
from app.jobs.queue.glances import START, Glance, Glances, LookAt, StepId
from app.jobs.queue.queued import Standing
from app.jobs.watched_job import WatchedJob

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
PAUSE_AFTER_FAILURE_S = 1.0
AT_MOST_BUSY = 0.25
"""The share of the time that may go into looking."""
STANDINGS = MappingProxyType({JobStatus.QUEUED: Standing.WAITS, JobStatus.RUNNING: Standing.RUNS})
"""What the queue says of a job that was told to be in this status."""


class JobWatch:
    """Looks after the followed jobs, from one task of the event loop, as long as the context lasts.

    stopping: whoever hears that this process is to stop sets it, and all listeners are let go.
    """

    def __init__(self, redis: Redis, jobs: Jobs) -> None:
        self._jobs = jobs
        self._glances = Glances(redis)
        self._watched: dict[str, WatchedJob] = {}
        self._asked: dict[str, asyncio.Task[Job]] = {}
        self._wanted = asyncio.Event()
        self.stopping = anyio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(work) for work in (self._look_on(), self._let_go())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def watched(self) -> int:
        """How many jobs are followed."""
        return len(self._watched)

    async def find(self, job_id: str, caller: Caller) -> Job:
        """The job as it stands; those who ask at the same time are answered by one look.

        Raises:
            UnknownJob: there is no such job, or the caller may not know of it. RedisError: Redis is away.
        """
        job = self._watched[job_id].job if job_id in self._watched else await self._seen(job_id)
        if not caller.may_touch(job.model):
            raise unknown(job_id)
        return job

    async def _seen(self, job_id: str) -> Job:
        if job_id not in self._asked:
            self._asked[job_id] = asyncio.create_task(run_in_threadpool(self._jobs.view, job_id))
            self._asked[job_id].add_done_callback(lambda _: self._asked.pop(job_id))
        return await asyncio.shield(self._asked[job_id])

    async def follow(self, job: Job, after: StepId | None) -> AsyncIterator[bytes]:
        """The job's events, each encoded, until it ends.

        Args:
            after: the last step that the listener has heard of; None: it has heard of nothing. Of a job that has
                ended only the end is told then.
        """
        if job.status.final:
            watched = WatchedJob(job)
            if after is not None:
                watched.update(None, await run_in_threadpool(self._glances.steps, job.id, after))
            async for event in watched.events():
                yield event
            return
        with self._listening(job) as watched:
            async for event in watched.events(after or START):
                yield event

    @contextmanager
    def _listening(self, job: Job) -> Iterator[WatchedJob]:
        watched = self._watched.setdefault(job.id, WatchedJob(job))
        watched.listeners += 1
        self._wanted.set()
        try:
            yield watched
        finally:
            watched.listeners -= 1
            if not watched.listeners:
                self._drop(watched)

    def _drop(self, watched: WatchedJob) -> None:
        if self._watched.get(watched.job.id) is watched:
            del self._watched[watched.job.id]

    async def _let_go(self) -> None:
        await self.stopping.wait()
        for watched in self._watched.values():
            watched.forget()

    # --- looking -----------------------------------------------------------------------------

    async def _look_on(self) -> None:
        while True:
            if not self._watched:
                self._wanted.clear()
                await self._wanted.wait()
            began = time.monotonic()
            try:
                await self._look()
                pause = LOOK_EVERY_S
            except RedisError as error:
                logger.warning("followed jobs not looked at: %s", error)
                pause = PAUSE_AFTER_FAILURE_S
            except Exception:  # the task's edge: those who listen go on listening
                logger.exception("followed jobs not looked at")
                pause = PAUSE_AFTER_FAILURE_S
            took = time.monotonic() - began
            await asyncio.sleep(max(pause, took / AT_MOST_BUSY))

    async def _look(self) -> None:
        looks = [LookAt(job_id, watched.job.model, watched.last) for job_id, watched in self._watched.items()]
        glances = await run_in_threadpool(self._glances.of, looks)
        for look, glance in zip(looks, glances, strict=True):
            if watched := self._watched.get(look.job):
                await self._take_in(watched, glance)

    async def _take_in(self, watched: WatchedJob, glance: Glance) -> None:
        """Tell of a glance. The job is asked for only where the queue and what was told of it disagree."""
        job = watched.job
        if STANDINGS.get(job.status) is glance.standing:
            moved = job.status is JobStatus.QUEUED and glance.position not in (None, job.position)
            watched.update(job.model_copy(update={"position": glance.position}) if moved else None, glance.steps)
            return
        try:
            now = await run_in_threadpool(self._jobs.view, job.id)
        except UnknownJob:
            watched.forget()
        except (PalimpsestError, OSError) as error:  # go on with the other jobs
            logger.warning("not told how it stands: %s", error, extra={"job_id": job.id, "model": job.model})
        else:
            watched.update(None if now == job else now, glance.steps)
        if watched.over:
            self._drop(watched)

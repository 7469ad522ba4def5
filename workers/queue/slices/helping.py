"""A follower that helps: between two looks at the log it takes slices from the queue, as long as there are any."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError
from rq.exceptions import DequeueTimeout
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.queue import Queue
from rq.utils import as_text

from app.domain import keyspace
from app.domain.queued_calls import SLICE
from workers.host.model_host import ModelHost
from workers.queue.listed_job import ListedJob, RefusedJob
from workers.queue.quiet_worker import QuietWorker
from workers.queue.slices.desk import Desk
from workers.queue.slices.sweeping import spread_of
from workers.settings import WorkerSettings
from workers.spreading.helper import Helper
from workers.spreading.pile import Spread
from workers.stopping import Stopping

logger = logging.getLogger(__name__)


class SliceJob(ListedJob):
    """A job that is a slice, and nothing else. Names in its data are never imported."""

    compute: Callable[[str], str] | None = None

    @property
    def func(self) -> Callable[..., Any]:
        """What computes a slice.

        Raises:
            RefusedJob: the queued name is another.
        """
        name = self.func_name
        if name != SLICE or self.instance is not None or self.compute is None:
            raise RefusedJob(f"{name!r} is not {SLICE}")
        return self.compute


class SliceWorker(QuietWorker):
    """Computes slices one after another, and goes when none is left."""

    job_class = SliceJob

    def __init__(self, helping: Helping) -> None:
        self._helping = helping
        super().__init__(helping.queue, f"{helping.worker}.helper", helping.redis, helpers_queue(helping.next_suits))

    @property
    def stopping(self) -> bool:
        """Whether this worker was told to stop."""
        return self._helping.leaving()

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Compute one slice."""
        assert isinstance(job, SliceJob)
        job.compute = self._helping.helper.compute
        self.perform_job(job, queue, self.prepare_execution(job))

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Log what a job raised; an outage ends the turn."""
        if isinstance(exc_info[1], RedisError):
            raise exc_info[1]
        logger.error("slice refused or broken: %s", type(exc_info[1]).__name__, extra={"job_id": job.id})

    def clean_registries(self) -> None:
        """Nothing: the leader sweeps."""


@dataclass(frozen=True, slots=True)
class Helping:
    """One worker's help. leaving: whether it was told to stop."""

    redis: Redis
    model: str
    worker: str
    helper: Helper
    leaving: Callable[[], bool]

    @property
    def queue(self) -> str:
        """The queue's name."""
        return keyspace.slices(self.model)

    def help_out(self) -> None:
        """Compute slices for as long as there are some that this worker can compute."""
        try:
            if self.next_suits(self.redis, Queue(self.queue, connection=self.redis).key):
                SliceWorker(self).work(burst=True, logging_level=None)
        except RedisError as error:
            logger.warning("no help: %s", error, extra={"model": self.model})
        finally:
            self.helper.forget()

    def next_suits(self, redis: Redis, queue_key: str) -> bool:
        """Whether the next slice is one that somebody waits for, and that this worker can compute."""
        first = cast("list[bytes]", redis.lrange(queue_key, 0, 0))
        if not first or self.leaving():
            return False
        about = cast("bytes | None", redis.get(keyspace.spread(spread_of(as_text(first[0])))))
        try:
            return about is not None and self.helper.suits(Spread.model_validate_json(about))
        except ValidationError:
            return False


def helping_of(settings: WorkerSettings, host: ModelHost, redis: Redis, worker: str, stopping: Stopping) -> Helping:
    """The help that a worker of these settings gives."""

    def leaving() -> bool:
        return stopping.told

    helper = Helper(host, Desk(redis, worker), settings.dtype, settings.max_batch_tokens, leaving)
    return Helping(redis, host.name, worker, helper, leaving)


def helpers_queue(suits: Callable[[Redis, str], bool]) -> type[Queue]:
    """RQ's queue, from which nothing is taken that this worker cannot compute; RQ wants a class."""

    class HelpersQueue(Queue):
        """Looks before it takes."""

        @classmethod
        def lmove(cls, connection: Redis, queue_key: str, timeout: int | None) -> tuple[str, bytes] | None:
            """Move the first slice to those that are taken; None: there is none for this worker.

            Raises:
                DequeueTimeout: there was none in time.
            """
            if suits(connection, queue_key):
                taken = IntermediateQueue.get_intermediate_queue_key(queue_key)
                found = cast("bytes | None", connection.lmove(queue_key, taken, "LEFT", "RIGHT"))
                if found is not None:
                    return queue_key, found
            if timeout is None:
                return None
            time.sleep(timeout)
            raise DequeueTimeout(timeout, queue_key)

    return HelpersQueue

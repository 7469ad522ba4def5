"""Jobs that need not hold the others up: done by a thread of their own, one after another, beside the main thread's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import torch
from redis.exceptions import RedisError
from rq.exceptions import StopRequested

logger = logging.getLogger(__name__)


class Aside:
    """The thread for such jobs, as long as one lead lasts, over several turns. Its jobs do not count as abandoned."""

    def __init__(self) -> None:
        # As many threads as this one computes with, so that a version is put together by the same sums.
        threads = torch.get_num_threads()
        self._thread = ThreadPoolExecutor(1, "aside", initializer=torch.set_num_threads, initargs=(threads,))
        self._jobs: dict[str, Future[None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until its jobs end. Each ends at its next step once the worker has to stop or has lost the lead."""
        self._thread.shutdown()

    def put(self, job_id: str, work: Callable[[], None]) -> None:
        """Have a job done, after those that are there."""
        self._jobs = {known: ended for known, ended in self._jobs.items() if not ended.done()}
        self._jobs[job_id] = self._thread.submit(_to_its_end, job_id, work)

    def has(self, job_id: str) -> bool:
        """Whether a job waits or runs here."""
        return job_id in self._jobs and not self._jobs[job_id].done()


def _to_its_end(job_id: str, work: Callable[[], None]) -> None:
    try:
        work()
    except StopRequested:
        logger.info("job left to the next leader", extra={"job_id": job_id})
    except RedisError as error:
        logger.warning("start or end not recorded: %s", error, extra={"job_id": job_id})
    except Exception:  # the thread's edge: the next job's turn comes all the same
        logger.exception("job ended in an error", extra={"job_id": job_id})

"""Why a running job should stop: asked to, out of time, or the worker is leaving. Polled between steps.

Nothing interrupts a step: an exception at any bytecode could fall into the middle of a commit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError

from app.domain import keyspace
from app.domain.errors import DeadlineExceeded, JobCancelled

logger = logging.getLogger(__name__)

POLL_INTERVAL_S = 0.25
PAUSE_AFTER_FAILURE_S = 5.0


class LeaveJob(Exception):
    """The worker is leaving before the job has ended."""


class JobWatch:
    """Watches over one job."""

    def __init__(
        self,
        redis: Redis,
        job_id: str,
        deadline_s: float,
        leaving: Callable[[], bool],
        check_lead: Callable[[], None],
    ) -> None:
        """What to look at.

        Args:
            deadline_s: seconds from now.
            leaving: whether the worker must go without the job.
            check_lead: raises StaleEpoch if another worker has taken over.
        """
        self._redis = redis
        self._job_id = job_id
        self._deadline_s = deadline_s
        self._deadline = time.monotonic() + deadline_s
        self._leaving = leaving
        self._check_lead = check_lead
        self._next_poll = 0.0

    def check(self) -> None:
        """Return if the job may go on.

        Raises:
            JobCancelled: its cancel flag is set.
            DeadlineExceeded: it has run longer than the worker's deadline.
            LeaveJob: the worker is leaving.
            StaleEpoch: another worker has taken over.
        """
        self._check_lead()
        if self._leaving():
            raise LeaveJob
        now = time.monotonic()
        if now > self._deadline:
            detail = f"the job took longer than the worker's deadline of {self._deadline_s:g} s"
            raise DeadlineExceeded(detail, value=self._deadline_s)
        if now >= self._next_poll:
            self._next_poll = now + POLL_INTERVAL_S
            self._look_for_flag()

    def _look_for_flag(self) -> None:
        try:
            cancelled = self._redis.exists(keyspace.cancel(self._job_id))
        except RedisError as error:
            self._next_poll = time.monotonic() + PAUSE_AFTER_FAILURE_S
            logger.warning("cancel flag not read: %s", error, extra={"job_id": self._job_id})
            return
        if cancelled:
            raise JobCancelled("the job was cancelled before it committed")

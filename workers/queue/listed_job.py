"""Jobs as a worker accepts them from the queue: nothing that stands in a job's data is imported or called."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

from rq.exceptions import DeserializationError
from rq.job import Job
from rq.timeouts import BaseDeathPenalty

from app.domain.queued_calls import KINDS
from workers.host.work import WORK
from workers.queue.jobs import FUNCTIONS, JobRun


class RefusedJob(Exception):
    """A queued function that is not on the list; nothing of it was imported."""


class NoAlarm(BaseDeathPenalty):
    """No exception at an arbitrary bytecode: the job's own deadline is checked between steps."""

    def setup_death_penalty(self) -> None:
        """Nothing to set."""

    def cancel_death_penalty(self) -> None:
        """Nothing to cancel."""


class ListedJob(Job):
    """A job whose function is on the list of job functions. Names in its data are never imported."""

    run: JobRun | None = None

    def bound_to(self, run: JobRun) -> Self:
        """The job, bound to this delivery."""
        self.run = run
        return self

    @property
    def aside(self) -> bool:
        """Whether it need not hold up those that come after it."""
        try:
            kind = KINDS.get(self.func_name or "")
        except DeserializationError:  # it is refused when it is performed
            return False
        return kind is not None and WORK[kind].aside

    @property
    def func(self) -> Callable[..., Any]:
        """The listed function, bound to this delivery.

        Raises:
            RefusedJob: the queued name is not on the list.
        """
        name = self.func_name
        function = FUNCTIONS.get(name) if isinstance(name, str) and self.instance is None else None
        if function is None or self.run is None:
            raise RefusedJob(f"{name!r} is not one of {', '.join(FUNCTIONS)}")
        return partial(function, self.run)

    @property
    def success_callback(self) -> None:
        """None: a callback would be a name in the job's data."""
        return

    @property
    def failure_callback(self) -> None:
        """None, as ``success_callback``."""
        return

    @property
    def stopped_callback(self) -> None:
        """None, as ``success_callback``."""
        return

    def send_webhooks(self, *_: object, **__: object) -> None:
        """Nothing: a worker calls no address that stands in a job."""

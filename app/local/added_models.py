"""The workers of models that were added while the service runs: each is onboarded, started, kept running, and stopped.

Called again and again by the process that runs the whole service, it brings what runs in line with what is wanted. All
that it knows of an addition is on disk, so a service that was killed goes on where it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app.additions.wishes import Wish, Wishes
from app.domain.contract import JobStatus, Progress
from app.domain.errors import OnboardingFailed, PalimpsestError

logger = logging.getLogger(__name__)

STOP_TIMEOUT_S = 30.0


class Process(Protocol):
    """A process that was started."""

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""


class Runner(Protocol):
    """Knows how the processes of a model are started."""

    def onboarding(self, wish: Wish) -> Process | None:
        """Onboard a model; None if it need not be."""

    def onboarded(self, wish: Wish) -> None:
        """Hear that a model was onboarded."""

    def workers(self, wish: Wish) -> Sequence[Callable[[], Process]]:
        """Start each of a model's workers."""

    def answers(self, name: str) -> bool:
        """Whether a worker of that name is live."""


@dataclass(slots=True)
class Added:
    """A model that is being added, or was.

    starts: its workers, in the order of ``processes``; none while it is onboarded.
    """

    wish: Wish
    starts: Sequence[Callable[[], Process]] = ()
    processes: list[Process] = field(default_factory=list)
    serving: bool = False


class AddedModels:
    """Brings what runs in line with the wishes. All calls come from one thread."""

    def __init__(self, wishes: Wishes, runner: Runner) -> None:
        self._wishes, self._runner = wishes, runner
        self._added: dict[str, Added] = {}
        self._leaving: dict[str, tuple[float, list[Process]]] = {}

    @property
    def names(self) -> list[str]:
        """The models whose processes run, those that are leaving not counted."""
        return sorted(self._added)

    def step(self) -> None:
        """One look at what is wanted, and what follows from it; returns at once. What one model meets stays its own."""
        wanted = {wish.name: wish for wish in self._wishes.all()}
        self._see_off()
        for name, added in list(self._added.items()):
            if wanted.get(name) != added.wish:
                self._withdraw(added)
        for name, wish in wanted.items():
            try:
                self._look_after(name, wish)
            except OSError as error:  # the disk is full, or a process cannot be started: tried again at the next step
                logger.warning("not looked after: %s", error, extra={"model": name})

    def leave(self) -> None:
        """Ask all processes to end. What was begun is begun again when the service is started."""
        for name, added in list(self._added.items()):
            self._end(name, added)

    def stop(self) -> None:
        """End all processes; returns when none is left."""
        self.leave()
        while self._leaving:
            self._see_off()
            time.sleep(0.05)

    def _look_after(self, name: str, wish: Wish) -> None:
        added = self._added.get(name)
        if added is not None:
            self._advance(added)
        elif name not in self._leaving:
            self._begin(wish)

    def _begin(self, wish: Wish) -> None:
        ended = self._wishes.ended(wish.job)
        if ended is not None and ended.status is not JobStatus.SUCCEEDED:
            self._wishes.remove(wish.name)  # killed between the end of its job and this
            return
        added = Added(wish, serving=ended is not None)
        onboarding = None if added.serving else self._runner.onboarding(wish)
        if onboarding is None:
            self._start(added)
        else:
            self._wishes.tell(wish.name, Progress(stage="statistics"))
            added.processes.append(onboarding)
        self._added[wish.name] = added

    def _start(self, added: Added) -> None:
        if not added.serving:
            self._wishes.tell(added.wish.name, Progress(stage="start", share=0.95))
        added.starts = self._runner.workers(added.wish)
        added.processes = [start() for start in added.starts]

    def _advance(self, added: Added) -> None:
        statuses = [process.poll() for process in added.processes]
        if added.serving:
            self._restart(added, statuses)
        elif not added.starts and statuses == [0]:
            self._runner.onboarded(added.wish)
            self._start(added)
        elif any(status is not None for status in statuses):
            what = "be started" if added.starts else "be onboarded"
            self._fail(added, OnboardingFailed(f"{added.wish.name} could not {what}: the service's own log says why."))
        elif added.starts and self._runner.answers(added.wish.name):
            self._wishes.end(added.wish, JobStatus.SUCCEEDED)
            added.serving = True

    def _restart(self, added: Added, statuses: Sequence[int | None]) -> None:
        for index, status in enumerate(statuses):
            if status is not None:
                logger.warning("a worker ended with %s; starting it again", status, extra={"model": added.wish.name})
                added.processes[index] = added.starts[index]()

    def _withdraw(self, added: Added) -> None:
        self._wishes.cancel(added.wish)
        self._end(added.wish.name, added)

    def _fail(self, added: Added, error: PalimpsestError) -> None:
        self._wishes.end(added.wish, JobStatus.FAILED, error)
        self._wishes.remove(added.wish.name)
        self._end(added.wish.name, added)

    def _end(self, name: str, added: Added) -> None:
        """Ask its processes to end; ``_see_off`` sees to it that they do."""
        for process in added.processes:
            if process.poll() is None:
                process.terminate()
        self._leaving[name] = time.monotonic() + STOP_TIMEOUT_S, added.processes
        del self._added[name]

    def _see_off(self) -> None:
        leaving: Mapping[str, tuple[float, list[Process]]] = dict(self._leaving)
        for name, (deadline, processes) in leaving.items():
            still = [process for process in processes if process.poll() is None]
            if not still:
                del self._leaving[name]
            elif time.monotonic() > deadline:
                for process in still:
                    process.kill()

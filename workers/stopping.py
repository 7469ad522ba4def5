"""Whether this worker was told to stop: the only handler of SIGTERM and SIGINT, from the worker's start to its end.

It has two phases. While a worker opens (``at_once``) it holds no lead and serves nobody, and what takes long there,
loading weights for instance, cannot look at a flag: a signal ends the process at once. At all other times a signal only
sets a flag, which the code that works or waits polls. An exception that is raised at an arbitrary bytecode could fall
into a commit, or into the writing of a log line, which would swallow it.
"""

from __future__ import annotations

import atexit
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LOOK_INTERVAL_S = 0.1


class Stopping:
    """Told to stop by one signal, to hurry by the next. Any thread may ask."""

    def __init__(self) -> None:
        self._heard: list[float] = []  # a list, since one handler may run in the middle of another
        self._at_once = False

    @classmethod
    def installed(cls) -> Self:
        """The handler of this process, which must have no other."""
        stopping = cls()
        for number in SIGNALS:
            signal.signal(number, stopping.tell)
        # At exit Python restores the signals' defaults before it frees its memory, which takes a while with a model: a
        # second signal would then kill a worker that has ended in order.
        atexit.register(_be_deaf)
        return stopping

    def tell(self, _signal: int = signal.SIGTERM, _frame: FrameType | None = None) -> None:
        """Note a signal. Takes no lock and writes no log: what it interrupts may be doing just that.

        Raises:
            SystemExit: status 0, in the phase ``at_once``.
        """
        self._heard.append(time.monotonic())
        if self._at_once:
            raise SystemExit(0)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """The phase in which a signal ends what is going on. Nobody may be served in it, nor a lead be held.

        Raises:
            SystemExit: status 0: told to stop, in this phase or before. Also where the signal's own exception was
                swallowed, or came out as an error of what it interrupted.
        """
        try:
            self._at_once = True
            if not self.told:
                yield
        finally:
            self._at_once = False
            if self.told:
                raise SystemExit(0)

    @property
    def told(self) -> bool:
        """Whether it is time to stop."""
        return bool(self._heard)

    def out_of_grace(self, seconds: float) -> bool:
        """Whether what was running when the first signal came has had so many seconds since, or a second signal."""
        return len(self._heard) > 1 or (self.told and time.monotonic() >= self._heard[0] + seconds)

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until told to stop; whether that was told.

        Not by an Event: its lock cannot be taken by a handler that interrupts the thread which has it.
        """
        end = time.monotonic() + seconds
        while not self.told and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_INTERVAL_S))
        return self.told


def _be_deaf() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)

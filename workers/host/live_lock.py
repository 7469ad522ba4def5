"""Many questions at once, or one publish: the lock around the live weights."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class LiveLock:
    """Readers share, a writer is alone, and a waiting writer goes before new readers, so that it is never starved."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers = 0
        self._writers_waiting = 0
        self._writing = False
        self.on_written: Callable[[float, float], None] = _unwatched
        """Told after every write how long it waited for readers to end, and then held all readers up; seconds."""

    @property
    def writer_waits(self) -> bool:
        """Whether somebody waits to write: a reader that takes long may want to give way."""
        return self._writers_waiting > 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold the weights still."""
        with self._condition:
            self._condition.wait_for(lambda: not self._writing and not self._writers_waiting)
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                self._condition.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Change the weights, when nobody reads them."""
        asked = time.perf_counter()
        with self._condition:
            self._writers_waiting += 1
            try:
                self._condition.wait_for(lambda: not self._writing and not self._readers)
                self._writing = True
            finally:
                self._writers_waiting -= 1
        started = time.perf_counter()
        try:
            yield
        finally:
            with self._condition:
                self._writing = False
                self._condition.notify_all()
            self.on_written(started - asked, time.perf_counter() - started)


def _unwatched(_waited: float, _held: float) -> None:
    """The default of ``on_written``: does nothing."""

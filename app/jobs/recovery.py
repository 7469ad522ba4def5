"""Looks after accepted jobs, from a thread: at the start, and every few seconds."""

from __future__ import annotations

import logging
import threading
from typing import Self

from app.jobs.jobs import Jobs

logger = logging.getLogger(__name__)


class Recovery:
    """A thread that runs as long as the context lasts; after an error, which is logged, it tries again."""

    def __init__(self, jobs: Jobs, interval_s: float) -> None:
        self._jobs = jobs
        self._interval_s = interval_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look_after, name="recovery", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def _look_after(self) -> None:
        while True:
            try:
                self._jobs.look_after()
            except Exception as error:  # the thread's edge: Redis is away, or a file is damaged
                logger.warning("accepted jobs not looked after: %s", error)
            if self._closed.wait(self._interval_s):
                return

"""How long each kind of step of a job takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from app.domain.contract import Progress

PREPARING = "prepare"
"""What a job does before it reports its first step."""


class StepClock:
    """One delivery's seconds by stage: from the report of a stage until that of another, or the end."""

    def __init__(self, report: Callable[[Progress], None]) -> None:
        """``report``: hears of each step too."""
        self._report = report
        self._stage, self._since = PREPARING, time.monotonic()
        self._seconds: dict[str, float] = {}

    def report(self, progress: Progress) -> None:
        """Note a step, and pass it on."""
        if progress.stage != self._stage:
            self._turn_to(progress.stage)
        self._report(progress)

    def ended(self) -> Mapping[str, float]:
        """The job has ended: its seconds by stage, in the order in which the stages first came."""
        self._turn_to(self._stage)
        return self._seconds

    def _turn_to(self, stage: str) -> None:
        now = time.monotonic()
        self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now

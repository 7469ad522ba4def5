"""What `palimpsest onboard` shows while it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from workers.onboard import Telling
    from workers.onboarding.inspection import Finding
    from workers.onboarding.search import Tried


class Bars:
    """What was found, tokens of statistics, trials of the search."""

    def __init__(self, console: Console, minutes: float) -> None:
        columns = (TextColumn("{task.description:<44}"), BarColumn(), TimeElapsedColumn())
        self._console, self._bar = console, Progress(*columns, console=console)
        self._statistics = self._bar.add_task("statistics", total=None)
        self._search = self._bar.add_task("search", total=60 * minutes or 1.0, start=False)
        self._taken = self._tried = 0

    def __enter__(self) -> Bars:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def telling(self) -> Telling:
        """What an onboarding tells."""
        from workers.onboard import Telling

        return Telling(self._found, self._tokens, self._trial)

    def _found(self, finding: Finding) -> None:
        self._console.print(f"{finding.name}: {finding.value}", highlight=False, markup=False)

    def _tokens(self, count: int) -> None:
        self._taken += count
        self._bar.update(self._statistics, description=f"statistics: {self._taken:,} tokens")

    def _trial(self, trial: Tried) -> None:
        self._tried += 1
        self._bar.start_task(self._search)
        score = "could not be edited" if trial.outcome is None else f"score {trial.outcome.score:.3f}"
        self._bar.update(self._search, description=f"search: {self._tried} tried, the last one {score}")
        self._bar.update(self._search, completed=self._bar.tasks[self._search].elapsed or 0.0)

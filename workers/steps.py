"""The steps of a long piece of work: the code that does it reports each, and asks before each whether to go on."""

from __future__ import annotations

from typing import Protocol

from app.domain.contract import Progress


class Steps(Protocol):
    """What a long piece of work reports its steps to, and what may end it."""

    def tell(self, progress: Progress) -> None:
        """Make a step known."""

    def check(self) -> None:
        """Return if the work may go on; what is raised here ends it between two steps, without a trace."""


class Unwatched:
    """Nobody hears of the steps, and nobody stops the work."""

    def tell(self, progress: Progress) -> None:
        """Nothing."""

    def check(self) -> None:
        """Nothing."""

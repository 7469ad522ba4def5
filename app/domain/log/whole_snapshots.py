"""Which of a log's snapshots are whole: each is read once, byte by byte, when that is first asked."""

from __future__ import annotations

from app.domain.errors import DamagedVersion, NotFound
from app.domain.history.logged_version import LoggedVersion
from app.domain.log.replays import Replays


class WholeSnapshots:
    """Remembers which were whole: for one piece of work, at the end of which it is dropped."""

    def __init__(self, replays: Replays) -> None:
        self._replays = replays
        self._whole: dict[int, bool] = {}

    def newest(self) -> int | None:
        """The number of the newest undamaged one; None if there is none."""
        return next((number for number in reversed(self._replays.snapshots()) if self.has(number)), None)

    def start(self, at: LoggedVersion, first: int, but: int | None = None) -> int | None:
        """The undamaged one that covers most terms of a version, and all of versions before ``first``.

        Args:
            but: one that is not looked at.

        Returns:
            Its number; None if none does.
        """
        for covered, number in self._replays.starts(at):
            if number != but and all(term.version >= first for term in at.terms[covered:]) and self.has(number):
                return number
        return None

    def has(self, number: int) -> bool:
        """Whether this snapshot is there, and undamaged."""
        if number not in self._whole:
            try:
                self._replays.read(number)
            except (DamagedVersion, NotFound):
                self._whole[number] = False
            else:
                self._whole[number] = True
        return self._whole[number]

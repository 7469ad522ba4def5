"""Which versions shall be served, as the log and its aliases have it now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from app.domain.log.reader import LogReader


@dataclass(frozen=True, slots=True)
class Target:
    """What a follower's servers shall come to.

    head: the newest version. committed: when it was; None of version 0.
    order: the versions to be served, the most important first: the newest, those that an alias names, the others.
    """

    head: int
    committed: datetime | None
    order: tuple[int, ...]

    @classmethod
    def of(cls, log: LogReader, keep: int) -> Self:
        """``keep``: so many of the newest versions are served.

        Raises:
            DamagedVersion, OSError: the log cannot be read.
        """
        head = log.head()
        newest = range(head, max(0, head - keep), -1)
        named = sorted({version for version in log.aliases.pointing().values() if 0 < version <= head}, reverse=True)
        committed = None if head == 0 else log.outline(head).created
        return cls(head, committed, tuple(dict.fromkeys([*newest[:1], *named, *newest])))

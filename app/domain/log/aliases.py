"""The aliases of a log: names that point to a version. Where one points to is what its newest move says.

Moves are numbered, lie beside the chain, which knows nothing of them, and are never removed. Each is published only if
none of its number is there: so of two who saw the same newest move, one alone makes the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from app.domain.entries import Entry, Shelf, move_entry
from app.domain.errors import DamagedVersion, UnknownAlias
from app.domain.log.chain import Chain
from app.domain.log.pages import MovePage
from app.domain.storage.storage import Stamp, Storage


class Aliases:
    """The aliases of one log, for reading. Safe in several threads; remembers what it has verified.

    Raises:
        DamagedVersion: wherever a move is read that does not have the bytes that were written, and is still there.
    """

    def __init__(self, storage: Storage, chain: Chain) -> None:
        self._storage, self._chain = storage, chain
        self._known: dict[Entry, tuple[Stamp | None, MovePage]] = {}

    def names(self) -> list[str]:
        """All that were ever moved, sorted: also those that were removed since, or are damaged."""
        return [alias for alias in self._storage.aliases() if self.numbers(alias)]

    def numbers(self, alias: str) -> list[int]:
        """The numbers of its moves, rising."""
        return self._storage.numbers(Shelf.ALIASES, alias)

    def version(self, alias: str) -> int:
        """The version that it points to.

        Raises:
            UnknownAlias: there is none of that name, or not any more.
        """
        last = self.last(alias)
        if last is None or last.version is None:
            raise UnknownAlias(f"{self._storage.model} has no alias {alias}", value=alias)
        return last.version

    def pointing(self) -> dict[str, int]:
        """The version that each alias points to, by name."""
        found = {alias: self.last(alias) for alias in self.names()}
        return {alias: last.version for alias, last in found.items() if last is not None and last.version is not None}

    def last(self, alias: str) -> MovePage | None:
        """Its newest move, be it a removal; None if it was never moved."""
        return next(self.newest_first(alias), None)

    def newest_first(self, alias: str) -> Iterator[MovePage]:
        """Its moves, each read when it is asked for."""
        for number in reversed(self.numbers(alias)):
            page = self.move(alias, number)
            if page is not None:
                yield page

    def move(self, alias: str, number: int) -> MovePage | None:
        """One move; None if there is none, or it was withdrawn because it could not be made durable."""
        entry = move_entry(alias, number)
        stamp, known = self._storage.stamp(entry.page), self._known.get(entry)
        if known is not None and stamp is not None and known[0] == stamp:
            return known[1]
        try:
            page = self._storage.settled(entry.page, partial(self._read, entry))
        except DamagedVersion:
            if number not in self.numbers(alias):
                return None
            raise
        self._known[entry] = stamp, page
        return page

    def _read(self, entry: Entry) -> MovePage:
        page = self._chain.parsed(MovePage, entry.page, self._storage.read_page(entry.page))
        if (page.alias, page.number) != (entry.alias, entry.number):
            shown = self._storage.shown(entry.page)
            raise DamagedVersion(f"{shown} is move {page.number} of {page.alias}", value=shown)
        return page

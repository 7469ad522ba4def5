"""The shortest way to a version: from a snapshot that fits, over the terms that it does not hold."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.entries import Shelf, snapshot_entry
from app.domain.errors import CompactedVersion, DamagedVersion
from app.domain.history.history import History
from app.domain.history.terms import Term
from app.domain.log.chain import Chain
from app.domain.log.pages import SnapshotPage
from app.domain.storage.storage import Storage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as it was read: checked, byte by byte."""

    version: int
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Replay:
    """Start at the snapshot, or at the base if there is none, and add the terms of ``rest``.

    covered: the terms that the snapshot already holds, for the facts and columns in them.
    """

    snapshot: Snapshot | None
    covered: tuple[Term, ...]
    rest: tuple[Term, ...]

    @property
    def terms(self) -> tuple[Term, ...]:
        """All terms of the version, oldest first."""
        return self.covered + self.rest


class Replays:
    """What snapshots one log has, and which tensors are left in it."""

    def __init__(self, storage: Storage, chain: Chain) -> None:
        self._storage, self._chain = storage, chain

    def compacted_before(self) -> int:
        """The first version whose tensor files were not removed; 1 if the log was never compacted."""
        return max(self._storage.numbers(Shelf.COMPACTIONS), default=1)

    def snapshots(self) -> list[int]:
        """The versions that have a snapshot, rising; damaged ones count."""
        return self._storage.numbers(Shelf.SNAPSHOTS)

    def page(self, version: int) -> SnapshotPage:
        """What a snapshot says of itself.

        Raises:
            DamagedVersion: it is damaged, or belongs to another history than this log's.
        """
        name = snapshot_entry(version).page
        page = self._chain.parsed(SnapshotPage, name, self._storage.read_page(name))
        if (page.version, page.manifest) != (version, self._chain.digest(version)):
            shown = self._storage.shown(name)
            raise DamagedVersion(f"{shown} is not of this log's version {version}", value=shown)
        return page

    def read(self, version: int) -> Snapshot:
        """A snapshot, all of it.

        Raises:
            DamagedVersion: as ``page`` does, or one of its files is damaged.
        """
        entry, page = snapshot_entry(version), self.page(version)
        files = {name: self._storage.read_file(entry, name, record) for name, record in page.files.items()}
        return Snapshot(version, files)

    def shortest(self, terms: Sequence[Term], version: int, history: History) -> Replay:
        """The shortest way to the sum of the terms, by snapshots up to ``version``.

        A damaged snapshot is named in the program's log, and passed over.

        Raises:
            CompactedVersion: it needs tensors that were removed.
            DamagedVersion: it needs tensors that were removed, and the snapshot that holds them is damaged.
        """
        damage: DamagedVersion | None = None
        for covered, number in self.starts(terms, version, history):
            try:
                return Replay(self.read(number), tuple(terms[:covered]), self.kept(terms[covered:]))
            except DamagedVersion as error:
                logger.warning("snapshot passed over: %s", error.detail, extra={"model": self._storage.model})
                damage = damage or error
            except CompactedVersion:
                break
        try:
            return Replay(None, (), self.kept(terms))
        except CompactedVersion:
            if damage is not None:
                raise damage from None
            raise

    def starts(self, terms: Sequence[Term], version: int, history: History) -> list[tuple[int, int]]:
        """How many of the terms each fit snapshot up to ``version`` covers, and that snapshot; most first."""
        made_of = {number: history.terms(number) for number in self.snapshots() if number <= version}
        fit = [(len(held), number) for number, held in made_of.items() if tuple(terms[: len(held)]) == held]
        return sorted(fit, reverse=True)

    def check(self, terms: Sequence[Term], version: int, history: History) -> None:
        """Return if the tensors that the terms need are there, in files or in a snapshot up to ``version``.

        Raises:
            CompactedVersion: they are not.
        """
        [covered, *_] = [covered for covered, _ in self.starts(terms, version, history)] or [0]
        self.kept(terms[covered:])

    def kept(self, terms: Sequence[Term]) -> tuple[Term, ...]:
        """The terms, whose tensor files are all there.

        Raises:
            CompactedVersion: some were removed when the log was compacted.
        """
        first = self.compacted_before()
        for term in terms:
            if term.version < first:
                detail = f"the log was compacted: the tensors of version {term.version}, which this needs, are gone"
                raise CompactedVersion(detail, value=term.version)
        return tuple(terms)

"""The shortest way to a version: from a snapshot that fits, over the terms that it does not hold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush

from app.domain.entries import Shelf, snapshot_entry
from app.domain.errors import CompactedVersion, DamagedVersion, NotFound, UnknownVersion
from app.domain.history.logged_version import LoggedVersion
from app.domain.history.terms import Term
from app.domain.log.chain import Chain
from app.domain.log.pages import SnapshotPage
from app.domain.storage.storage import FoundT, Storage

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
            NotFound: there is no snapshot of this version.
            DamagedVersion: it is damaged, or belongs to another history than this log's.
        """
        return self._listed(version, partial(self._page, version))

    def read(self, version: int) -> Snapshot:
        """A snapshot, all of it.

        Raises:
            NotFound: there is no snapshot of this version.
            DamagedVersion: as ``page`` does, or one of its files is damaged.
        """
        return self._listed(version, partial(self._read, version))

    def shortest(self, at: LoggedVersion) -> Replay:
        """The shortest way to a version, by snapshots up to it.

        A damaged snapshot is named in the program's log, and passed over.

        Raises:
            CompactedVersion: it needs tensors that were removed.
            DamagedVersion: it needs tensors that were removed, and the snapshot that holds them is damaged.
        """
        damage: DamagedVersion | None = None
        first = self.compacted_before()  # before listing snapshots: those that a compaction needs were there first
        for covered, number in self.starts(at):
            try:
                return Replay(self.read(number), at.terms[:covered], _kept(at.terms[covered:], first))
            except NotFound:  # discarded since: another one is there in its place
                return self.shortest(at)
            except DamagedVersion as error:
                logger.warning("snapshot passed over: %s", error.detail, extra={"model": self._storage.model})
                damage = damage or error
            except CompactedVersion:
                break
        try:
            return Replay(None, (), _kept(at.terms, first))
        except CompactedVersion:
            if damage is not None:
                raise damage from None
            raise

    def starts(self, at: LoggedVersion) -> Iterator[tuple[int, int]]:
        """Snapshots that a replay of the version can start from: terms covered, and number; most terms first.

        A log may have many, and to compare one takes long: each is looked at only once no other can be before it.
        """
        numbers = (number for number in self.snapshots() if number <= at.version)
        unseen = sorted((at.at_most_covered_at(number), number) for number in numbers)
        found: list[tuple[int, int]] = []  # a heap, the most terms first
        while unseen or found:
            if found and (not unseen or (-found[0][0], -found[0][1]) > unseen[-1]):
                covered, number = heappop(found)
                yield -covered, -number
            else:
                _, number = unseen.pop()
                if (holds := at.covered_at(number)) is not None:
                    heappush(found, (-holds, -number))

    def steps(self, at: LoggedVersion) -> int:
        """How many terms a replay would have to read, by the snapshots that are listed."""
        return len(at.terms) - self._most_covered(at)

    def check(self, at: LoggedVersion) -> None:
        """Return if the tensors that a version needs are there, in files or in a snapshot up to it.

        Raises:
            CompactedVersion: they are not.
        """
        first = self.compacted_before()  # before the snapshots, as in ``shortest``
        _kept(at.terms[self._most_covered(at) :], first)

    def _most_covered(self, at: LoggedVersion) -> int:
        return next((covered for covered, _ in self.starts(at)), 0)

    def _listed(self, version: int, read: Callable[[], FoundT]) -> FoundT:
        """What ``read`` returns for a snapshot.

        Raises:
            NotFound: it is not listed. DamagedVersion: it is listed, and ``read`` finds it damaged.
        """
        try:
            return self._storage.settled(snapshot_entry(version).page, read)
        except DamagedVersion:
            if version not in self.snapshots():
                detail = f"{self._storage.model} has no snapshot of version {version}"
                raise NotFound(detail, value=version) from None
            raise

    def _page(self, version: int) -> SnapshotPage:
        name = snapshot_entry(version).page
        page = self._chain.parsed(SnapshotPage, name, self._storage.read_page(name))
        try:
            fits = (page.version, page.manifest) == (version, self._chain.digest(version))
        except UnknownVersion:
            fits = False
        if not fits:
            shown = self._storage.shown(name)
            raise DamagedVersion(f"{shown} is not of this log's version {version}", value=shown)
        return page

    def _read(self, version: int) -> Snapshot:
        entry, page = snapshot_entry(version), self._page(version)
        files = {name: self._storage.read_file(entry, name, record) for name, record in page.files.items()}
        return Snapshot(version, files)


def _kept(terms: Sequence[Term], first: int) -> tuple[Term, ...]:
    """Return the terms if none is from before the version ``first``.

    Raises:
        CompactedVersion: one is, and its tensor files were removed when the log was compacted.
    """
    for term in terms:
        if term.version < first:
            detail = f"the log was compacted: the tensors of version {term.version}, which this needs, are gone"
            raise CompactedVersion(detail, value=term.version)
    return tuple(terms)

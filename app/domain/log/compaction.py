"""Shortening a log: what a snapshot holds as well need not be kept twice. Facts, reports and digests always stay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from app.domain.entries import Entry, Shelf, snapshot_entry, version_entry
from app.domain.errors import CompactedVersion, Conflict
from app.domain.history.history import History
from app.domain.history.logged_version import LoggedVersion
from app.domain.log.aliases import Aliases
from app.domain.log.chain import Chain
from app.domain.log.pages import CompactionPage, ProposalPage
from app.domain.log.proposals import Proposals
from app.domain.log.replays import Replays
from app.domain.log.whole_snapshots import WholeSnapshots
from app.domain.storage.storage import Storage


def relied_on(aliases: Aliases, proposals: Proposals, chain: Chain) -> dict[int, str]:
    """The versions that aliases point to, and that waiting proposals were computed on, each with why it is needed.

    Raises:
        DamagedVersion: an alias or a proposal is damaged.
    """
    rest = {page.draft.version - 1: f"which {page.id} rests on" for page in proposals.waiting() if _stands(page, chain)}
    return rest | {version: f"which {alias} points to" for alias, version in aliases.pointing().items()}


def _stands(page: ProposalPage, chain: Chain) -> bool:
    """Whether the version that a proposal was computed on is there, and was not withdrawn."""
    version = page.draft.version - 1
    return version <= chain.head() and chain.digest(version) == page.parent


class Compaction:
    """One compaction of a log by its leader. If it is cut short, the next one brings it to its end.

    Args:
        relied_on: versions that can be asked afterwards if they can be now, and why, as ``relied_on`` tells.
        before: the first version whose tensor files stay, if some shall go.

    Raises:
        UnknownVersion: there is no version ``before``.
        DamagedVersion: a manifest does not have the bytes that were committed.
    """

    def __init__(
        self, storage: Storage, chain: Chain, replays: Replays, relied_on: Mapping[int, str], before: int | None
    ) -> None:
        self._storage, self._replays = storage, replays
        self._head = chain.head()
        self._manifests = chain.manifests(self._head)
        self._history = History(self._manifests)
        self._done = replays.compacted_before()
        self._first = max(1 if before is None else chain.at_most(before), self._done)
        self._relied_on = {version: why for version, why in relied_on.items() if version < self._first}
        self._whole = WholeSnapshots(replays)

    def run(self) -> None:
        """Record on disk what is to be removed, then remove it.

        Raises:
            Conflict: a version from ``before`` on, or one that is relied on, would lose tensors that it needs.
            OSError: something could not be written or removed.
        """
        needed = self._needed()
        if self._first > self._done:
            page = CompactionPage(before=self._first, created=datetime.now(UTC))
            self._storage.publish(Entry(Shelf.COMPACTIONS, self._first), page.model_dump_json(indent=2).encode(), {})
        for manifest in self._manifests:
            stays = manifest.version >= self._first
            self._storage.strip(version_entry(manifest.version), manifest.files if stays else {})
        for number in self._replays.snapshots():
            if number not in needed:
                self._storage.discard(snapshot_entry(number))

    def _needed(self) -> set[int]:
        """The snapshots to keep: those that the head, and each version that needs removed tensors, is replayed from."""
        best = self._whole.start(self._at(self._head), 1)
        needed = set() if best is None else {best}
        for version in (*self._relied_on_in_reach(), *range(self._first, self._head + 1)):
            goes_on = version > self._first and self._manifests[version - 1].kind == "edit"
            if goes_on:  # it only adds its own term to those of the version before it
                continue
            reached = self._at(version)
            if all(term.version >= self._first for term in reached.terms):
                continue
            start = self._whole.start(reached, self._first)
            if start is None:
                why = f", {self._relied_on[version]}," if version in self._relied_on else ""
                lost = f"needs tensors from before version {self._first}, and no snapshot holds them"
                detail = f"version {version}{why} {lost}"
                raise Conflict(detail, field="before", value=self._first)
            needed.add(start)
        return needed

    def _relied_on_in_reach(self) -> Iterator[int]:
        """The versions before ``first`` that are relied on, and that no earlier compaction has cut off."""
        for version in sorted(self._relied_on):
            try:
                self._replays.check(self._at(version))
            except CompactedVersion:
                continue
            yield version

    def _at(self, version: int) -> LoggedVersion:
        return LoggedVersion(self._history, version)

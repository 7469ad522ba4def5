"""Thinning a log's snapshots: all stay near its newest version, and fewer and fewer the further back.

Each has all that its version holds, so that together they would grow with the square of the versions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence

from app.domain.entries import snapshot_entry
from app.domain.history.history import History
from app.domain.history.logged_version import LoggedVersion
from app.domain.log.replays import Replays
from app.domain.log.whole_snapshots import WholeSnapshots
from app.domain.storage.storage import Storage


def spare(numbers: Sequence[int]) -> list[int]:
    """Which of these snapshots (their versions, rising) may go: those between two that lie close enough.

    Two are close enough if there are no more versions between them than between the newer one and the newest of all.
    Of those that stay every second one is at least twice as far from the newest as the one before: of n there stay
    2 log2(n) + 3 at most. Where snapshots were written every s versions, a version that is d versions back lies at most
    max(s, d) behind one that stays, or behind the base. The three newest always stay.
    """
    gone = []
    newest = newer = numbers[-1] if numbers else 0
    for place in range(len(numbers) - 2, -1, -1):
        older = numbers[place - 1] if place else 0  # the base
        if newer - older <= newest - newer:
            gone.append(numbers[place])
        else:
            newer = numbers[place]
    return gone


class Thinning:
    """One thinning of a log by its leader. If it is cut short, the next one brings it to its end.

    Whatever could be put together before can be afterwards. The newest snapshot that is whole stays, and so does each
    that alone holds tensors that a compaction has removed: a version that starts at one that goes, starts as well at
    the one that its snapshot's own version can be put together from. Of a version that is relied on the snapshot behind
    it stays, so that it can be asked as quickly as before, and the log be compacted where it stands.

    Args:
        history: of all versions.
        relied_on: versions that aliases point to, and proposals rest on.
        permitted: called before each removal; raises if another leads.
    """

    def __init__(
        self,
        storage: Storage,
        replays: Replays,
        history: History,
        relied_on: Collection[int],
        permitted: Callable[[], None],
    ) -> None:
        self._storage, self._replays, self._history = storage, replays, history
        self._relied_on, self._permitted = relied_on, permitted
        self._whole = WholeSnapshots(replays)

    def run(self) -> list[int]:
        """Remove the spare snapshots; returns which.

        Raises:
            OSError: one could not be removed. Whatever ``permitted`` raises.
        """
        chosen = self._chosen(self._replays.snapshots())
        newest = self._whole.newest() if chosen else None
        removed = []
        for number in chosen:
            if newest is not None and number < newest and self._is_replaceable(number):
                self._storage.discard(snapshot_entry(number), self._permitted)
                removed.append(number)
        return removed

    def _chosen(self, numbers: Sequence[int]) -> list[int]:
        """The spare ones, but for those behind a version that is relied on."""
        behind = (bisect_right(numbers, version) - 1 for version in self._relied_on)
        needed = {numbers[place] for place in behind if place >= 0}
        return [number for number in spare(numbers) if number not in needed]

    def _is_replaceable(self, number: int) -> bool:
        """Whether the version of this snapshot can be put together without it."""
        first = self._replays.compacted_before()
        if first == 1:
            return True
        at = LoggedVersion(self._history, number)
        return all(term.version >= first for term in at.terms) or self._whole.start(at, first, number) is not None

"""From one version to a later one by what is new in it: how a follower keeps up without replaying the log."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.errors import CompactedVersion
from app.domain.history.terms import Term
from app.domain.log.reader import LogReader
from app.domain.log.replays import Replay
from workers.editing.model.editable_model import EditableModel
from workers.versions.replay import replayed, state_at
from workers.versions.version_state import VersionState


@dataclass(frozen=True, slots=True)
class _Kept:
    """The version that the trail reached last. ``digest``: its manifest's, which covers all versions before."""

    version: int
    digest: str
    terms: tuple[Term, ...]
    state: VersionState


class Trail:
    """Keeps the last state that it reached; its masters are those in service, so they take no memory of their own."""

    def __init__(self, editable: EditableModel, log: LogReader) -> None:
        self._editable, self._log = editable, log
        self._kept: _Kept | None = None

    def forget(self) -> None:
        """Replay the next version from a snapshot or the base."""
        self._kept = None

    def to(self, version: int) -> VersionState:
        """The state of a version; the same, bit for bit, as that of a replay from the beginning on this machine.

        A version that does more than add terms to the last one reached, as a rollback does, is replayed.

        Raises:
            UnknownVersion: there is no such version. CompactedVersion: it needs tensors that were removed.
            DamagedVersion: a version does not have the bytes that were committed.
        """
        terms = self._log.at(version).terms
        state = self._onward(version, terms)
        if state is None:
            state = state_at(self._editable, self._log, self._log.replay(version))
        self._kept = _Kept(version, self._log.digest(version), tuple(terms), state)
        return state

    def _onward(self, version: int, terms: tuple[Term, ...]) -> VersionState | None:
        """The state by what is new since the last one, if that is all that has changed."""
        kept = self._kept
        if kept is None or kept.version > version or self._log.digest(kept.version) != kept.digest:
            return None
        known = len(kept.terms)
        if tuple(terms[:known]) != kept.terms:
            return None
        try:
            return replayed(self._editable, self._log, Replay(None, kept.terms, tuple(terms[known:])), kept.state)
        except CompactedVersion:
            return None

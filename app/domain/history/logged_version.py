"""One version of a log, together with the history that it stands in."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.contract import FactInForce, FactKey
from app.domain.history.history import History
from app.domain.history.terms import Term


class LoggedVersion:
    """A version, the terms of its weights and previous keys, and its facts. Safe in several threads.

    Args:
        history: of the versions up to this one at least.
        terms: what it is made of; None: as its history says, worked out when it is first needed.
    """

    def __init__(self, history: History, version: int, terms: tuple[Term, ...] | None = None) -> None:
        self.history, self.version = history, version
        self._terms = terms
        self._covered: dict[int, int | None] = {}

    @property
    def terms(self) -> tuple[Term, ...]:
        """What it is made of, oldest first."""
        if self._terms is None:
            self._terms = self.history.terms(self.version)
        return self._terms

    def facts_in_force(self) -> tuple[FactInForce, ...]:
        """The facts that hold at it, in the order in which they were written."""
        return tuple(held.view() for held in self.history.facts(self.version))

    def without(self, facts: Sequence[FactKey]) -> LoggedVersion:
        """What a revert of these facts on top of it would be made of.

        Raises:
            UnknownFact, InseparableFacts: as ``History.terms_without`` does.
        """
        return LoggedVersion(self.history, self.version, self.history.terms_without(self.version, facts))

    def covered_at(self, earlier: int) -> int | None:
        """How many terms an earlier version has, if they are the first ones of this version; else None."""
        if earlier not in self._covered:
            theirs = self.history.terms(earlier)
            self._covered[earlier] = len(theirs) if self.terms[: len(theirs)] == theirs else None
        return self._covered[earlier]

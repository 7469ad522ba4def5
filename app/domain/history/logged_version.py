"""One version of a log, together with the history that it stands in."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from app.domain.contract import FactInForce, FactKey
from app.domain.history.history import History
from app.domain.history.lineage import Lineage, Step
from app.domain.history.terms import Term


class LoggedVersion:
    """A version, the terms of its weights and previous keys, and its facts. Safe in several threads.

    Args:
        history: of the versions up to this one at least.
        terms: what it is made of; None: as its history says, worked out when it is first needed.
        lineage: the steps that ``terms`` come from; None: as its history says.
    """

    def __init__(
        self, history: History, version: int, terms: tuple[Term, ...] | None = None, lineage: Lineage | None = None
    ) -> None:
        self.history, self.version = history, version
        self._terms, self._lineage = terms, lineage
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
        terms = self.history.terms_without(self.version, facts)
        lineage = self.history.lineage(self.version) + Step(self.version + 1, frozenset(facts))
        return LoggedVersion(self.history, self.version, terms, lineage)

    def at_most_covered_at(self, earlier: int) -> int:
        """How many of its terms are of versions up to an earlier one: ``covered_at`` is no more than that."""
        return bisect_right(self.terms, earlier, key=lambda term: term.version)

    def covered_at(self, earlier: int) -> int | None:
        """How many terms an earlier version has, if they are the first ones of this version; else None.

        An edit only appends a term. So where no revert lies between, that the one's steps begin the other's is all.
        """
        if earlier not in self._covered:
            self._covered[earlier] = self._compared(earlier)
        return self._covered[earlier]

    def _compared(self, earlier: int) -> int | None:
        """What ``covered_at`` tells. Terms are compared only where reverts leave it open, since that takes long."""
        ours, theirs = self._steps(), self.history.lineage(earlier)
        common = ours.common(theirs)
        rest, more = Lineage(ours.steps[common:]), Lineage(theirs.steps[common:])
        last = theirs.steps[-1].version if theirs.steps else 0
        if not rest.reverted and not more.reverted:
            return None if more.steps else self.at_most_covered_at(last)
        if not more.steps and any(key.version <= last for key in rest.reverted):
            return None  # a fact of its own was taken out since
        terms = self.history.terms(earlier)
        return len(terms) if self.terms[: len(terms)] == terms else None

    def _steps(self) -> Lineage:
        if self._lineage is None:
            self._lineage = self.history.lineage(self.version)
        return self._lineage

"""What every version of a log consists of: the facts in force, and the terms of its weights and previous keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.contract import FactKey
from app.domain.errors import InseparableFacts, UnknownFact
from app.domain.history.lineage import HeldFact, Lineage, Step, facts_in_force, written
from app.domain.history.terms import Composition, Term
from app.domain.manifest import Manifest

MOST_NAMED = 8
"""Facts that an error names."""


@dataclass(frozen=True, slots=True)
class FactChanges:
    """How the facts in force differ between two versions; ``changed`` pairs a place's earlier fact with the later."""

    added: tuple[HeldFact, ...]
    changed: tuple[tuple[HeldFact, HeldFact], ...]
    taken_out: tuple[HeldFact, ...]


class History:
    """The versions 1 to ``len(manifests)`` of a log, verified; version 0 is the base.

    Every method that takes a version raises ``UnknownVersion`` if there is no such one.
    """

    def __init__(self, manifests: Sequence[Manifest]) -> None:
        self._manifests = manifests

    def lineage(self, version: int) -> Lineage:
        """The steps that make the version, oldest first."""
        return Lineage.of(self._manifests, version)

    def facts(self, version: int) -> tuple[HeldFact, ...]:
        """The facts in force, in the order in which they were written; a later one supersedes one of its place."""
        return tuple(facts_in_force(self._manifests, self.lineage(version)).values())

    def terms(self, version: int) -> tuple[Term, ...]:
        """What the version's weights and previous keys are made of, oldest first."""
        return Composition(self._manifests, self.lineage(version)).terms()

    def terms_without(self, version: int, facts: Sequence[FactKey]) -> tuple[Term, ...]:
        """What a version would be made of after a revert of these facts on top of it.

        Raises:
            UnknownFact: the version does not consist of such a fact; the field says which.
            InseparableFacts: they would still be in the weights, since others that stay share a key with them, or
                were written together with them by an update that has no columns.
        """
        lineage, known = self.lineage(version), self.consists_of(version)
        for place, key in enumerate(facts):
            if key not in known:
                raise UnknownFact(f"version {version} has no {key}", field=f"facts.{place}", value=key.model_dump())
        composition = Composition(self._manifests, lineage + Step(version + 1, frozenset(facts)))
        terms = composition.terms()
        split = [term.version for term in terms if term.taken_out and self._manifests[term.version - 1].indivisible]
        if bound := composition.inseparable():
            raise _inseparable("share a key with facts that would stay", bound)
        if split:
            reason = f"were written by version {split[0]} as one whole, of which a part would stay"
            raise _inseparable(reason, composition.keepers(split[0]))
        return terms

    def consists_of(self, version: int) -> frozenset[FactKey]:
        """The facts that are in the version's weights: those in force, and those that one of them supersedes."""
        lineage = self.lineage(version)
        return frozenset(held.key for edit in lineage.edits for held in written(self._manifests[edit - 1])) - (
            lineage.reverted
        )

    def facts_without(self, version: int, facts: Sequence[FactKey]) -> tuple[HeldFact, ...]:
        """The facts that would be in force after a revert of these on top of a version."""
        lineage = self.lineage(version) + Step(version + 1, frozenset(facts))
        return tuple(facts_in_force(self._manifests, lineage).values())

    def changes(self, old: int, new: int) -> FactChanges:
        """Facts in force at one version that are not so at another, or with another object."""
        before = facts_in_force(self._manifests, self.lineage(old))
        after = facts_in_force(self._manifests, self.lineage(new))
        pairs = ((before[place], held) for place, held in after.items() if place in before)
        return FactChanges(
            added=tuple(held for place, held in after.items() if place not in before),
            changed=tuple(pair for pair in pairs if pair[0].fact.object != pair[1].fact.object),
            taken_out=tuple(held for place, held in before.items() if place not in after),
        )

    def update_norms(self, old: int, new: int) -> dict[int, float] | None:
        """Per layer, the Frobenius norm of the difference between two versions' weights, as far as the log tells.

        None where more than one update, or a part of one, lies between them.
        """
        between = self._summands(old) ^ self._summands(new)
        if len(between) > 1 or any(taken_out for _, taken_out in between):
            return None
        reports = (self._manifests[version - 1].report for version, _ in between)
        return {layer: norm for report in reports if report for layer, norm in report.update_norms.items()}

    def _summands(self, version: int) -> frozenset[tuple[int, frozenset[int]]]:
        return frozenset((term.version, term.taken_out) for term in self.terms(version))


def _inseparable(reason: str, bound: Sequence[FactKey]) -> InseparableFacts:
    named = ", ".join(map(str, bound[:MOST_NAMED])) + (" and others" if len(bound) > MOST_NAMED else "")
    detail = f"some of these facts {reason}; revert them together with {named}"
    return InseparableFacts(detail, field="facts", value=[key.model_dump() for key in bound])

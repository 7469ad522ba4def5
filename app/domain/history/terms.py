"""What a version's weights and previous keys are made of: one term an edit, summed in order from the base.

A revert makes the terms before it as if the reverted facts had never been written: their columns leave weights and K_p,
and a fact that one of them had superseded is in force again, its key back in K_p. An edit only appends a term.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.contract import FactKey
from app.domain.history.columns import Columns
from app.domain.history.lineage import HeldFact, Lineage, Step, facts_in_force, written
from app.domain.manifest import Companion, Manifest
from app.domain.places import Column


@dataclass(frozen=True, slots=True)
class Term:
    """What one version adds.

    facts: those that it writes, in order. companions: earlier ones that it optimised again.
    taken_out: columns of its tensors that count neither in the weights nor in K_p.
    retired: columns of earlier versions that leave K_p with it, at the layers that it changes.
    """

    version: int
    facts: tuple[HeldFact, ...] = ()
    companions: tuple[Companion, ...] = ()
    taken_out: frozenset[int] = frozenset()
    retired: frozenset[Column] = frozenset()


class Composition:
    """The terms of a lineage, worked out step by step.

    Args:
        manifests: those of the log, from version 1 on.
    """

    def __init__(self, manifests: Sequence[Manifest], lineage: Lineage) -> None:
        self._manifests = manifests
        self._reverted = lineage.reverted
        self._columns = Columns()
        self._returned: dict[Column, int] = {}
        for number, step in enumerate(lineage.steps, start=1):
            if step.reverted:
                self._revert(step, Lineage(lineage.steps[:number]))
            else:
                self._columns.write(manifests[step.version - 1])
        staying = {load.column.version for load in self._columns.staying}
        self._versions = [step.version for step in lineage.steps if step.version in staying or self._extra(step)]

    def terms(self) -> tuple[Term, ...]:
        """The updates to sum, oldest first: versions of which nothing stays are left out."""
        return tuple(self._term(self._manifests[version - 1]) for version in self._versions)

    def inseparable(self) -> list[FactKey]:
        """Facts that stay and keep columns through which reverted facts would still be in the weights."""
        return self._columns.inseparable()

    def keepers(self, version: int) -> list[FactKey]:
        """Facts because of which any column of a version stays."""
        return self._columns.keepers(version)

    def _revert(self, step: Step, lineage: Lineage) -> None:
        """Take facts out; columns that carry a fact in force afterwards count as never retired."""
        self._columns.revert(step.reverted)
        carriers = self._columns.carriers()
        for held in facts_in_force(self._manifests, lineage).values():
            self._returned[carriers[held.key]] = step.version

    def _extra(self, step: Step) -> bool:
        """Whether a version without facts brings tensors, as a revert may."""
        if step.version > len(self._manifests):
            return False
        manifest = self._manifests[step.version - 1]
        return bool(manifest.files) and not manifest.facts

    def _term(self, manifest: Manifest) -> Term:
        version = manifest.version
        gone = frozenset(self._columns.taken_out.get(version, ()))
        retired = (Column(*column) for column in manifest.retired)
        return Term(
            version,
            tuple(held for held in written(manifest) if held.key not in self._reverted),
            tuple(each for each in manifest.companions if each.key not in self._reverted and each.column not in gone),
            gone,
            frozenset(column for column in retired if self._returned.get(column, 0) < version),
        )

"""Which steps make a version, and which facts are in force at it.

An edit or a revert adds one step to the version before it; a rollback has the steps of the version that it goes to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.domain.contract import FactInForce, FactKey
from app.domain.errors import UnknownVersion
from app.domain.manifest import LoggedFact, Manifest
from app.domain.places import Place


@dataclass(frozen=True, slots=True)
class Step:
    """An edit; or, if it takes facts out, a revert."""

    version: int
    reverted: frozenset[FactKey] = frozenset()


@dataclass(frozen=True, slots=True)
class Lineage:
    """The steps of a version, oldest first; none of those that a rollback has undone."""

    steps: tuple[Step, ...] = ()

    @classmethod
    def of(cls, manifests: Sequence[Manifest], version: int) -> Lineage:
        """The lineage of a version of a log, whose manifests from version 1 on are given.

        Raises:
            UnknownVersion: there is no such version.
        """
        if not 0 <= version <= len(manifests):
            raise UnknownVersion(f"there is no version {version}", value=version)
        steps: list[Step] = []
        while version > 0:
            manifest = manifests[version - 1]
            if manifest.to is None:
                steps.append(Step(version, frozenset(manifest.reverted)))
            version = version - 1 if manifest.to is None else manifest.to
        return cls(tuple(reversed(steps)))

    @property
    def edits(self) -> list[int]:
        """The versions whose facts it consists of."""
        return [step.version for step in self.steps if not step.reverted]

    @property
    def reverted(self) -> frozenset[FactKey]:
        """All facts that were taken out."""
        return frozenset[FactKey]().union(*(step.reverted for step in self.steps))

    def common(self, other: Lineage) -> int:
        """With how many of the same steps both begin."""
        pairs = enumerate(zip(self.steps, other.steps, strict=False))
        return next((at for at, (ours, theirs) in pairs if ours != theirs), min(len(self.steps), len(other.steps)))

    def __add__(self, step: Step) -> Lineage:
        return Lineage((*self.steps, step))


@dataclass(frozen=True, slots=True)
class HeldFact:
    """A fact with its key, and the job that wrote it."""

    key: FactKey
    fact: LoggedFact
    job: str | None

    def view(self) -> FactInForce:
        """The fact as a caller sees it."""
        return FactInForce(
            subject=self.fact.subject,
            prompt=self.fact.prompt,
            object=self.fact.object,
            previous=self.fact.previous,
            id=self.fact.id,
            job=self.job or "",
            version=self.key.version,
            index=self.key.index,
        )


def written(manifest: Manifest) -> Iterator[HeldFact]:
    """The facts that a version wrote."""
    for index, fact in enumerate(manifest.facts):
        yield HeldFact(FactKey(version=manifest.version, index=index), fact, manifest.job)


def facts_in_force(manifests: Sequence[Manifest], lineage: Lineage) -> dict[Place, HeldFact]:
    """The facts in force, in the order in which they were written; a later one supersedes one of its place."""
    reverted = lineage.reverted
    in_force: dict[Place, HeldFact] = {}
    for version in lineage.edits:
        for held in written(manifests[version - 1]):
            if held.key not in reverted:
                in_force.pop(held.fact.place, None)
                in_force[held.fact.place] = held
    return in_force

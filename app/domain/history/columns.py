"""What the columns of all versions' tensors carry, and which of them go when facts are taken out.

A column stays as long as one of the facts written with it stays, or a later column of the same place, whose update was
computed on top of it. A column of companions alone goes with the new facts for which they were optimised again.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import groupby

from app.domain.contract import FactKey
from app.domain.errors import DamagedVersion
from app.domain.manifest import Manifest
from app.domain.places import Column, Place


@dataclass(frozen=True, slots=True)
class Load:
    """What one column carries.

    own: the facts that its version wrote with it.
    companions: earlier facts that were optimised again with it.
    hosts: if it has companions alone, the new facts for which these were optimised again.
    places: those of all facts that it carries.
    """

    column: Column
    own: tuple[FactKey, ...]
    companions: tuple[FactKey, ...]
    hosts: tuple[FactKey, ...]
    places: frozenset[Place]

    @property
    def facts(self) -> tuple[FactKey, ...]:
        """All that it carries."""
        return self.own + self.companions

    def wanted_by(self, reverted: Set[FactKey]) -> list[FactKey]:
        """The facts because of which it stays, even if no later column needs it."""
        if self.own:
            return [key for key in self.own if key not in reverted]
        if reverted >= set(self.hosts):
            return []
        return [key for key in self.companions if key not in reverted]


class Columns:
    """The columns that count in the weights. ``write`` and ``revert`` are called in the order of the versions."""

    def __init__(self) -> None:
        self.staying: list[Load] = []
        self.taken_out: dict[int, set[int]] = {}
        self._reverted: set[FactKey] = set()
        self._places: dict[FactKey, Place] = {}

    def write(self, manifest: Manifest) -> None:
        """An edit adds its columns.

        Raises:
            DamagedVersion: it names a companion that no version before it wrote.
        """
        for index, fact in enumerate(manifest.facts):
            self._places[FactKey(version=manifest.version, index=index)] = fact.place
        self.staying.extend(self._loads(manifest))

    def revert(self, facts: Set[FactKey]) -> None:
        """Take facts out, and the columns that nothing needs any more: for good, whatever is written later."""
        self._reverted |= facts
        later: set[Place] = set()
        kept: list[Load] = []
        for version, loads in groupby(reversed(self.staying), key=lambda load: load.column.version):
            stay, go = [], set()
            for load in loads:
                if load.wanted_by(self._reverted) or not later.isdisjoint(load.places):
                    stay.append(load)
                else:
                    go.add(load.column.position)
            later.update(*(load.places for load in stay))
            kept.extend(stay)
            self.taken_out.setdefault(version, set()).update(go)
        self.staying = kept[::-1]

    def carriers(self) -> dict[FactKey, Column]:
        """By fact, the last column that carries it; facts that no column carries are left out."""
        return {key: load.column for load in self.staying for key in load.facts}

    def inseparable(self) -> list[FactKey]:
        """Facts that stay and keep columns through which reverted facts would still be in the weights."""
        last: dict[Place, tuple[Load, FactKey]] = {}
        for load in self.staying:
            for key in sorted(
                load.facts, key=lambda key: key not in self._reverted
            ):  # facts that stay come last, and so decide
                last[self._places[key]] = load, key
        bound = {load.column: load for load, key in last.values() if key in self._reverted}
        return list(dict.fromkeys(key for load in bound.values() for key in self._keepers(load)))

    def keepers(self, version: int) -> list[FactKey]:
        """The facts because of which any column of a version stays."""
        loads = (load for load in self.staying if load.column.version == version)
        return list(dict.fromkeys(key for load in loads for key in self._keepers(load)))

    def _keepers(self, load: Load) -> Iterator[FactKey]:
        """The facts because of which a column stays, directly or since others rest on it."""
        wanted = load.wanted_by(self._reverted)
        yield from wanted
        if not wanted:
            for later in self.staying:
                if later.column.version > load.column.version and not later.places.isdisjoint(load.places):
                    yield from self._keepers(later)

    def _loads(self, manifest: Manifest) -> Iterator[Load]:
        """The columns of one version, by rising index."""
        written = [FactKey(version=manifest.version, index=index) for index in range(len(manifest.facts))]
        own: dict[int, list[FactKey]] = {}
        for key, fact in zip(written, manifest.facts, strict=True):
            own.setdefault(key.index if fact.column is None else fact.column, []).append(key)
        companions: dict[int, list[FactKey]] = {}
        for companion in manifest.companions:
            if companion.key not in self._places:
                detail = f"version {manifest.version} names a companion that was not in force: {companion.key}"
                raise DamagedVersion(detail, field="companions", value=manifest.version)
            companions.setdefault(companion.column, []).append(companion.key)
        for index in sorted(own.keys() | companions.keys()):
            mine, others = own.get(index, []), companions.get(index, [])
            hosts = () if mine else tuple(self._hosts(others, written))
            places = frozenset(self._places[key] for key in mine + others)
            yield Load(Column(manifest.version, index), tuple(mine), tuple(others), hosts, places)

    def _hosts(self, companions: list[FactKey], written: list[FactKey]) -> list[FactKey]:
        """The version's facts about the companions' subjects; if there are none (a key is shared), all its facts."""
        subjects = {self._places[key].subject for key in companions}
        return [key for key in written if self._places[key].subject in subjects] or written

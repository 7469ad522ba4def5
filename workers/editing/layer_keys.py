"""K_p at one layer, with the origin of each of its columns."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from torch import Tensor

from app.domain.places import Column
from workers.editing.algebra.previous_keys import PreviousKeys


@dataclass(frozen=True, slots=True)
class LayerKeys:
    """K_p at one layer, and where each column is from, oldest first."""

    columns: tuple[Column, ...]
    previous: PreviousKeys

    @property
    def keys(self) -> Tensor:
        """(d_in, m), float64."""
        return self.previous.keys

    def without(self, retired: Set[Column]) -> LayerKeys:
        """The same, those columns taken out."""
        if not retired or retired.isdisjoint(self.columns):
            return self
        gone = [index for index, column in enumerate(self.columns) if column in retired]
        kept = tuple(column for column in self.columns if column not in retired)
        return LayerKeys(kept, self.previous.without(gone))

    def append(self, version: int, positions: Iterable[int], keys: Tensor) -> LayerKeys:
        """The same with a version's keys (d_in, n), from those of its columns, at the end."""
        fresh = (Column(version, position) for position in positions)
        return LayerKeys((*self.columns, *fresh), self.previous.append(keys))

"""A version's weights and what it knows, apart from any module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from workers.editing.knowledge import KnowledgeBase
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.updates import LowRank, WeightUpdate


@dataclass(frozen=True, slots=True)
class VersionState:
    """A version's weights and what it knows, apart from any module.

    masters: by layer, (d_out, d_in), W_0 + all updates in force, of every layer that has one.
    corrections: by layer, what stands on top of a master; the last in force counts.
    restrained: by layer, the sum that the last edit's correction was made for.
    """

    masters: Mapping[int, Tensor] = field(default_factory=dict)
    corrections: Mapping[int, LowRank] = field(default_factory=dict)
    restrained: Mapping[int, Tensor] = field(default_factory=dict)
    knowledge: KnowledgeBase = field(default_factory=KnowledgeBase)

    @property
    def applied(self) -> dict[int, Tensor]:
        """By layer, what is in service: master and correction together."""
        return {
            layer: master + self.corrections[layer].dense if layer in self.corrections else master
            for layer, master in self.masters.items()
        }

    def with_update(self, update: WeightUpdate, base: Tensor) -> VersionState:
        """The same with an update added; ``base`` is W_0 of its layer. K_p stays as it was."""
        layer = update.layer
        master = self.masters.get(layer, base) + update.dense
        state = replace(self, masters={**self.masters, layer: master})
        if update.correction is None:
            return state
        corrections = {**self.corrections, layer: update.correction}
        if len(update.right) == 0:  # a revert's: it adds nothing, and restrains the sum of the edits before it
            return replace(state, corrections=corrections)
        return replace(state, corrections=corrections, restrained={**self.restrained, layer: master})

    def put_on(self, editable: EditableModel) -> None:
        """Give a model this version's weights, in place; layers that no update in force changes get W_0."""
        for layer in sorted(editable.masters.keys() | self.masters.keys()):
            editable.set_master(layer, self.masters.get(layer, editable.base(layer)), self.corrections.get(layer))

"""Who computes what is independent fact by fact: targets, and keys. This process alone, unless an edit is given others.

Both hang on the weights and on the facts of one group, so a batch may be cut between groups and its slices be computed
anywhere with the same weights; the solve needs all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

from workers.editing.descent.targets import Descended, descended
from workers.editing.groups import Group, group_leaders
from workers.editing.keys import keys_at
from workers.editing.lookup import TokenisedFact
from workers.editing.methods import find_method
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.updates import WeightUpdate
from workers.editing.presets.preset import Preset
from workers.editing.types import Observer

Updates = Sequence[WeightUpdate]
"""What an edit has added to the weights that it began from: with it, others have the shadow's weights."""


class Crew(Protocol):
    """Computes for an edit. The results do not depend on who does it, but for rounding."""

    def targets(
        self,
        shadow: EditableModel,
        facts: Sequence[TokenisedFact],
        groups: Sequence[Group],
        layer: int,
        preset: Preset,
        watch: Observer,
        added: Updates,
    ) -> Descended:
        """What ``descended`` finds for the groups, by the objective of the preset's method.

        Raises:
            NonFiniteUpdate: a loss is NaN or infinite. Whatever the observer raises.
        """

    def keys(
        self,
        shadow: EditableModel,
        facts: Sequence[TokenisedFact],
        groups: Sequence[Group],
        layers: Sequence[int],
        max_batch_tokens: int,
        added: Updates,
    ) -> Mapping[int, Tensor]:
        """By layer, the keys (d_in, groups), float64, of the groups' leaders."""


class Alone:
    """This process computes all of it."""

    def targets(
        self,
        shadow: EditableModel,
        facts: Sequence[TokenisedFact],
        groups: Sequence[Group],
        layer: int,
        preset: Preset,
        watch: Observer,
        added: Updates,
    ) -> Descended:
        """As ``Crew`` says."""
        return descended(shadow, facts, groups, layer, find_method(preset.method).objective, preset, watch)

    def keys(
        self,
        shadow: EditableModel,
        facts: Sequence[TokenisedFact],
        groups: Sequence[Group],
        layers: Sequence[int],
        max_batch_tokens: int,
        added: Updates,
    ) -> Mapping[int, Tensor]:
        """As ``Crew`` says."""
        leaders = group_leaders(facts, groups)
        return {layer: keys_at(shadow, leaders, layer, max_batch_tokens) for layer in layers}


ALONE = Alone()

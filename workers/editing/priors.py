"""What a solve must respect, put together from the statistics, the previous keys and what the method asks for."""

from __future__ import annotations

from torch import Tensor

from workers.editing.architectures import EditableModel
from workers.editing.layer_plans import find_plan
from workers.editing.methods import find_method
from workers.editing.preset import Preset
from workers.editing.statistics import Statistics, null_space_basis
from workers.editing.types import LayerPrior, empty_keys


class PriorSource:
    """Priors of one base model. Null-space bases are kept by layer and threshold: they depend on nothing else."""

    def __init__(self, editable: EditableModel, statistics: Statistics) -> None:
        self._editable, self._statistics = editable, statistics
        self._bases: dict[tuple[int, float], Tensor] = {}

    def check(self, preset: Preset) -> None:
        """Whether every layer of the preset's plan can be solved at.

        Raises:
            UnknownMethod, UnknownPlan, LayerOutOfRange, StatisticsMismatch.
        """
        find_method(preset.method)
        for layer in plan_layers(preset):
            self._statistics.second_moment(layer, self._editable.key_width(layer))

    def at(self, layer: int, preset: Preset, previous_keys: Tensor | None = None) -> LayerPrior:
        """The prior at a layer; ``previous_keys`` (d_in, m) float64, or None where nothing was edited before."""
        width = self._editable.key_width(layer)
        device = self._editable.weight(layer).device
        moment = self._statistics.second_moment(layer, width).to(device)
        basis = None
        if find_method(preset.method).needs_null_space:
            key = (layer, preset.nullspace_threshold)
            if key not in self._bases:
                self._bases[key] = null_space_basis(moment, preset.nullspace_threshold)
            basis = self._bases[key]
        return LayerPrior(moment, empty_keys(width, device) if previous_keys is None else previous_keys, basis)


def plan_layers(preset: Preset) -> tuple[int, ...]:
    """The layers that the preset's plan changes, in order.

    Raises:
        UnknownPlan: there is no such plan.
    """
    return tuple(step.layer for step in find_plan(preset.plan)(preset.layers))

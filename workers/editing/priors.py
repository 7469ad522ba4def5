"""What a solve must respect, put together from the statistics and the previous keys."""

from __future__ import annotations

from workers.editing.algebra.layer_base import LayerBase
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.layer_plans import LayerStep, find_plan
from workers.editing.methods import find_method
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.statistics import Statistics
from workers.editing.types import LayerPrior


class PriorSource:
    """Priors of one base model. What is taken from C is kept by layer: it depends on nothing else."""

    def __init__(self, editable: EditableModel, statistics: Statistics) -> None:
        self._editable, self._statistics = editable, statistics
        self._bases: dict[int, LayerBase] = {}

    def check(self, preset: Preset) -> None:
        """Return if the model has every layer of the preset's plan, and statistics where one is solved at.

        Raises:
            UnknownMethod, UnknownPlan, LayerOutOfRange, StatisticsMismatch.
        """
        for layer in plan_layers(preset):
            self._editable.check_layer(layer)
        for layer in solved_layers(preset):
            self._statistics.kept(layer, self._editable.key_width(layer))

    def at(self, layer: int, previous_keys: PreviousKeys | None = None) -> LayerPrior:
        """The prior at a layer; no ``previous_keys`` where nothing was edited before.

        Raises:
            StatisticsMismatch: there are no statistics for the layer, or of another width.
        """
        width = self._editable.key_width(layer)
        device = self._editable.weight(layer).device
        if layer not in self._bases:
            moment = self._statistics.kept(layer, width)
            self._bases[layer] = LayerBase(lambda: moment.to(device))
        return LayerPrior(self._bases[layer], previous_keys or PreviousKeys.empty(width, device))


def plan_steps(preset: Preset) -> list[LayerStep]:
    """The steps of the preset's plan, in order. A method of one layer takes the last critical one, whatever the plan.

    Raises:
        UnknownMethod, UnknownPlan: there is no such one.
    """
    layers = preset.layers[-1:] if find_method(preset.method).one_layer else preset.layers
    return find_plan(preset.plan)(layers)


def plan_layers(preset: Preset) -> tuple[int, ...]:
    """The layers that the preset's plan changes, in order.

    Raises:
        UnknownMethod, UnknownPlan: there is no such one.
    """
    return tuple(step.layer for step in plan_steps(preset))


def solved_layers(preset: Preset) -> tuple[int, ...]:
    """The layers of the preset's plan that are solved at, and so need a prior: none if the method tunes.

    Raises:
        UnknownMethod, UnknownPlan: there is no such one.
    """
    return plan_layers(preset) if find_method(preset.method).right_factor is not None else ()

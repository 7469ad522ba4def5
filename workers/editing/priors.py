"""What a solve must respect, put together from the statistics and the previous keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from app.domain.errors import InvalidHyperparameter
from app.domain.prompts import SLOT
from workers.editing.algebra.layer_base import LayerBase
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.anchors import anchor_norm
from workers.editing.layer_plans import LayerStep, find_plan
from workers.editing.methods import Leverage, find_method
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.probes import pilots, probe_keys, refuse_without_probes
from workers.editing.shares import ridge_for_share
from workers.editing.statistics import Statistics
from workers.editing.types import LayerPrior


class PriorSource:
    """Priors of one base model. What is taken from C is kept by layer: it depends on nothing else.

    So is the ridge that follows from a share: by the keys of ``probes`` on the base model, whatever was edited since.
    And so are the anchors of values, by what the probes' targets are there.
    """

    def __init__(self, editable: EditableModel, statistics: Statistics, contexts: Sequence[str] = (SLOT,)) -> None:
        """``contexts``: those that facts are edited in, for the probes."""
        self._editable, self._statistics, self._contexts = editable, statistics, contexts
        self._bases: dict[int, LayerBase] = {}
        self._probes: dict[int, Tensor] = {}
        self._ridges: dict[_RidgeKey, float] = {}
        self._anchors: dict[tuple[int, Preset], float] = {}

    def check(self, preset: Preset) -> None:
        """Return if the model has every layer of the preset's plan, and statistics where one is solved at.

        Raises:
            UnknownMethod, UnknownPlan, LayerOutOfRange, StatisticsMismatch.
        """
        for layer in plan_layers(preset):
            self._editable.check_layer(layer)
        for layer in solved_layers(preset):
            self._statistics.kept(layer, self._editable.key_width(layer))

    def refuse_unsolvable(self, preset: Preset) -> None:
        """Return unless it is known beforehand that no solve can do what the preset asks for.

        Raises:
            InvalidHyperparameter: nothing can be written at a layer, or a share tells no ridge in this model's window.
        """
        method = find_method(preset.method)
        for layer in solved_layers(preset):
            if method.solvable is not None and not method.solvable(self._base(layer), preset):
                detail = f"no direction of layer {layer} is free at this threshold: nothing can be written there"
                raise InvalidHyperparameter(detail, field="nullspace_threshold", value=preset.nullspace_threshold)
        if preset.share is not None and method.leverage is not None:
            refuse_without_probes(self._editable, self._contexts)
        if preset.norm_anchor and method.tune is None:
            pilots(self._editable)

    def at(
        self,
        layer: int,
        previous_keys: PreviousKeys | None = None,
        ridge: float | None = None,
        anchor: float | None = None,
    ) -> LayerPrior:
        """The prior at a layer; no ``previous_keys`` where nothing was edited before; no ``ridge``: the preset's.

        Raises:
            StatisticsMismatch: there are no statistics for the layer, or of another width.
        """
        empty = PreviousKeys.empty(self._editable.key_width(layer), self._editable.weight(layer).device)
        return LayerPrior(self._base(layer), previous_keys or empty, ridge, anchor)

    def ridges(self, preset: Preset) -> dict[int, float]:
        """λ or α at each layer that is solved at: from the preset's share, else its number. Empty without a ridge.

        Raises:
            StatisticsMismatch: there are no statistics for a layer, or of another width.
            InvalidHyperparameter: the share leads to none.
        """
        if find_method(preset.method).leverage is None:
            return {}
        if preset.share is None:
            return dict.fromkeys(solved_layers(preset), float(getattr(preset, preset.ridge_name)))
        return {layer: self._ridge(layer, preset, preset.share) for layer in solved_layers(preset)}

    def anchors(self, preset: Preset) -> dict[int, float]:
        """The norm of values at each layer that has targets of its own, if the preset asks for it: found once a preset.

        Raises:
            InvalidHyperparameter: no probe fits into the model's window. NonFiniteUpdate: a loss is not finite.
        """
        method = find_method(preset.method)
        if not preset.norm_anchor or method.tune is not None:
            return {}
        layers = {step.target_layer for step in plan_steps(preset) if step.carried_from is None}
        for layer in layers:
            if (layer, preset) not in self._anchors:
                found = anchor_norm(self._editable.unedited(), layer, method.objective, preset)
                self._anchors[layer, preset] = found
        return {layer: self._anchors[layer, preset] for layer in layers}

    def _ridge(self, layer: int, preset: Preset, share: float) -> float:
        leverage = find_method(preset.method).leverage
        assert leverage is not None
        key = _RidgeKey(layer, leverage, preset.nullspace_threshold, share)
        if key not in self._ridges:
            if layer not in self._probes:
                self._probes[layer] = self._probe(layer, preset.max_batch_tokens)
            ridge = ridge_for_share(leverage(self._probes[layer], self._base(layer), preset), share)
            if not 0 < ridge < math.inf:
                detail = f"at layer {layer} no ridge leads to the share: give the number"
                raise InvalidHyperparameter(detail, field="share", value=share)
            self._ridges[key] = ridge
        return self._ridges[key]

    def _probe(self, layer: int, max_batch_tokens: int) -> Tensor:
        """Keys of the probes on the base model: edits below the layer change them."""
        return probe_keys(self._editable.unedited(), self._contexts, layer, max_batch_tokens)

    def _base(self, layer: int) -> LayerBase:
        if layer not in self._bases:
            moment = self._statistics.kept(layer, self._editable.key_width(layer))
            device = self._editable.weight(layer).device
            self._bases[layer] = LayerBase(lambda: moment.to(device))
        return self._bases[layer]


class _RidgeKey(NamedTuple):
    """All that the ridge of a share depends on, of one model in its contexts."""

    layer: int
    leverage: Leverage
    nullspace_threshold: float
    share: float


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

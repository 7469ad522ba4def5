"""RECT (Gu et al., 2024, "Model Editing Harms General Abilities of Large Language Models: Regularization to the
Rescue"): of MEMIT's update Δ only the entries are applied that change their weight most, relatively.

Δ = R Kᵀ (λC + K Kᵀ)⁻¹, then 0 wherever |Δ / (W + 1e-8)| is not among the largest ``rect_share`` of its layer.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from workers.editing.methods import memit
from workers.editing.model.updates import LayerWeights, WeightUpdate
from workers.editing.presets.preset import Preset
from workers.editing.types import LayerPrior

EPSILON = 1e-8
"""Keeps a weight of 0 from dividing by it (the released code)."""


def right_factor(keys: Tensor, prior: LayerPrior, preset: Preset) -> Tensor:
    """MEMIT's Kᵀ (λC + K Kᵀ)⁻¹, without previous keys, as the released code has it. Returns (n, d_in), float64."""
    return memit.right_factor(keys, prior.without_previous_keys(), preset)


def finish(update: WeightUpdate, weights: LayerWeights, preset: Preset) -> WeightUpdate:
    """The update with its mask; W is the weight in service before the batch.

    All layers of a batch are solved with the full updates in place, and only what is applied in the end is masked (as
    the released code does). Of N entries those from the ⌊(1 - rect_share) N⌋-th smallest change upward are kept.
    """
    relative = (update.dense / (weights.applied + EPSILON)).abs()
    smallest = max(1, int((1 - preset.rect_share) * relative.numel()))
    return replace(update, mask=relative >= relative.flatten().kthvalue(smallest).values)

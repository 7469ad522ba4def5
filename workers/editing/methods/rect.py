"""RECT (Gu et al., 2024, "Model Editing Harms General Abilities of Large Language Models: Regularization to the
Rescue"): of MEMIT's update Δ only the entries are applied that change their weight most, relatively.

Δ = R Kᵀ (λC + K Kᵀ)⁻¹, then 0 wherever |Δ / (W + 1e-8)| is not among the largest ``rect_share`` of its layer.

The solve has no previous keys, as in the released code, unless the preset's ``history`` puts them there, as in
MEMIT's: the objective then counts all facts so far (Wang et al., 2026, "The Labyrinth and the Thread", 2605.26670).
What the mask leaves out is not made up for by later batches, as their code does in a further variant.
"""

from __future__ import annotations

from dataclasses import replace

from workers.editing.model.updates import LayerWeights, WeightUpdate
from workers.editing.presets.preset import Preset

EPSILON = 1e-8
"""Keeps a weight of 0 from dividing by it (the released code)."""


def finish(update: WeightUpdate, weights: LayerWeights, preset: Preset) -> WeightUpdate:
    """The update with its mask; W is the weight in service before the batch.

    All layers of a batch are solved with the full updates in place, and only what is applied in the end is masked (as
    the released code does). Of N entries those from the ⌊(1 - rect_share) N⌋-th smallest change upward are kept.
    """
    relative = (update.dense / (weights.applied + EPSILON)).abs()
    smallest = max(1, int((1 - preset.rect_share) * relative.numel()))
    return replace(update, mask=relative >= relative.flatten().kthvalue(smallest).values)

"""PRUNE (Ma et al., 2025, "Perturbation-Restrained Sequential Model Editing"), on top of MEMIT.

W = W_0 + f(ΔW), where ΔW is the sum of all updates so far, and f takes its singular values σ above the largest one of
W_0, σ_max, down to log σ - log σ_max + σ_max (natural logarithms, as in the released code), and leaves the others. So

W = W_0 + ΔW + U (f(σ) - σ) Vᵀ over the singular triplets above σ_max alone: a correction of low rank.

Differs from the paper, which restrains the sum once, after the last edit: a service has no last edit, so the formula
holds after every batch, and the next batch is solved under the restrained weights. Its code adds f(ΔW) to weights that
hold ΔW already; this is the formula. The paper puts PRUNE on top of any method; here it is MEMIT with previous
keys, which hold long sequences together (2605.26670); with ``history`` false, without them, as in the code.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from workers.editing.model.updates import LayerWeights, LowRank, WeightUpdate
from workers.editing.presets.preset import Preset


def restrained(values: Tensor, bound: Tensor) -> Tensor:
    """f: log σ - log σ_max + σ_max for each singular value σ above ``bound`` σ_max (a scalar), else σ."""
    return torch.where(values > bound, values.log() - bound.log() + bound, values)


def correction(total: Tensor, base: Tensor, dtype: torch.dtype) -> LowRank:
    """U (f(σ) - σ) Vᵀ of the sum ΔW ``total`` over W_0 ``base``, both (d_out, d_in); in ``dtype``, computed in float64.

    It is of rank 0 where no singular value is above the bound.
    """
    left, values, right = torch.linalg.svd(total.double(), full_matrices=False)
    bound = torch.linalg.matrix_norm(base.double(), ord=2)
    above = values > bound
    change = (restrained(values, bound) - values)[above]
    factors = ((left[:, above] * change).to(dtype), right[above].to(dtype))
    return LowRank(*(factor.contiguous() for factor in factors))


def finish(update: WeightUpdate, weights: LayerWeights, preset: Preset) -> WeightUpdate:
    """The update with the correction that restrains the sum it completes."""
    total = weights.summed + update.dense - weights.base
    return replace(update, correction=correction(total, weights.base, update.left.dtype))

"""MEMIT (Meng et al., 2023, "Mass-Editing Memory in a Transformer", eq. 14), with cached previous keys K_p.

Δ = R Kᵀ (λC + K_p K_pᵀ + K Kᵀ)⁻¹
"""

from __future__ import annotations

import torch
from torch import Tensor

from workers.editing.preset import Preset
from workers.editing.types import LayerPrior


def right_factor(keys: Tensor, prior: LayerPrior, preset: Preset) -> Tensor:
    """Kᵀ (λC + K_p K_pᵀ + K Kᵀ)⁻¹, so that the update is ``residual @ right_factor``.

    keys K: (d_in, n), float64. Returns (n, d_in), float64. λ is ``preset.mom2_update_weight``.
    """
    gram = preset.mom2_update_weight * prior.second_moment
    gram = gram.addmm(prior.previous_keys, prior.previous_keys.T).addmm(keys, keys.T)
    right: Tensor = torch.linalg.solve(gram, keys).T
    return right

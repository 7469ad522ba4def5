"""MEMIT (Meng et al., 2023, "Mass-Editing Memory in a Transformer", eq. 14), with cached previous keys K_p.

Δ = R Kᵀ (λC + K_p K_pᵀ + K Kᵀ + λ_n I)⁻¹

λ_n, ``update_norm_lambda``, is 0 in MEMIT: it is ENCORE's bound on the growth of the weights (Gupta et al., 2025,
"Lifelong Knowledge Editing requires Better Regularization", 2502.01636), whose objective has λ_n‖Δ‖² beside MEMIT's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workers.editing.algebra.layer_base import LayerBase
from workers.editing.presets.preset import Preset
from workers.editing.shares import q_of
from workers.editing.types import LayerPrior


def right_factor(keys: Tensor, prior: LayerPrior, preset: Preset) -> Tensor:
    """Kᵀ (λC + K_p K_pᵀ + K Kᵀ + λ_n I)⁻¹, so that the update is ``residual @ right_factor``.

    In dual form; dense where C is singular, or where that is more exact. keys K: (d_in, n), float64. Returns (n, d_in),
    float64. λ is the prior's ridge, else ``preset.mom2_update_weight``.

    Raises:
        torch.linalg.LinAlgError: λC + K_p K_pᵀ + K Kᵀ + λ_n I is singular.
    """
    ridge = prior.ridge_or(preset.mom2_update_weight)
    space = prior.base.loaded(preset.update_norm_lambda / ridge)
    found = None if space is None else prior.previous_keys.right_factor(keys, space, ridge)
    return dense_right_factor(keys, prior, preset) if found is None else found


def dense_right_factor(keys: Tensor, prior: LayerPrior, preset: Preset) -> Tensor:
    """The same by forming the matrix and solving: O(d_in³) and d_in² of memory."""
    previous = prior.previous_keys.keys
    gram = (
        (prior.ridge_or(preset.mom2_update_weight) * prior.second_moment)
        .addmm_(previous, previous.T)
        .addmm_(keys, keys.T)
    )
    gram.diagonal().add_(preset.update_norm_lambda)
    right: Tensor = torch.linalg.solve(gram, keys).T
    return right


def leverage(keys: Tensor, base: LayerBase, _preset: Preset) -> Tensor:
    """q = kᵀC⁻¹k of each key, (n,): alone, it realises the share q / (λ + q) of its residual, less where λ_n > 0."""
    return q_of(keys, base)

"""AlphaEdit (Fang et al., 2025, "Null-Space Constrained Knowledge Editing for Language Models", eq. 14).

Δ = R KᵀP ((K_p K_pᵀ + K Kᵀ) P + αI)⁻¹, with P the projector onto C's directions of small eigenvalue.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workers.editing.algebra.layer_base import LayerBase
from workers.editing.presets.preset import Preset
from workers.editing.shares import free_q_of
from workers.editing.types import LayerPrior


def right_factor(keys: Tensor, prior: LayerPrior, preset: Preset) -> Tensor:
    """KᵀQ (Qᵀ(K Kᵀ + K_p K_pᵀ)Q + αI)⁻¹ Qᵀ, so that the update is ``residual @ right_factor``.

    With P = QQᵀ this equals the paper's form, and is symmetric, positive definite and small. In dual form; dense where
    that is more exact. keys K: (d_in, n), float64. Returns (n, d_in), float64. α is the prior's ridge, else
    ``preset.L2``, and P keeps the eigenvectors of C with eigenvalue below ``preset.nullspace_threshold``.

    Raises:
        torch.linalg.LinAlgError: α is negligible beside the keys, which do not span the free directions.
    """
    space = prior.base.null_space(preset.nullspace_threshold)
    found = prior.previous_keys.right_factor(keys, space, prior.ridge_or(preset.L2))
    return dense_right_factor(keys, prior, preset) if found is None else found


def dense_right_factor(keys: Tensor, prior: LayerPrior, preset: Preset) -> Tensor:
    """The same by forming the matrix and solving: O(q³) for q free directions."""
    basis = prior.base.null_space(preset.nullspace_threshold).basis
    assert basis is not None
    projected, previous = basis.T @ keys, basis.T @ prior.previous_keys.keys
    ridge = prior.ridge_or(preset.L2) * torch.eye(basis.shape[1], dtype=keys.dtype, device=keys.device)
    gram = ridge.addmm_(previous, previous.T).addmm_(projected, projected.T)
    return torch.cholesky_solve(projected, torch.linalg.cholesky(gram)).T @ basis.T


def leverage(keys: Tensor, base: LayerBase, preset: Preset) -> Tensor:
    """q' = ‖Qᵀk‖² of each key, (n,): alone, it realises the share q' / (α + q') of its residual."""
    return free_q_of(keys, base, preset.nullspace_threshold)


def solvable(base: LayerBase, preset: Preset) -> bool:
    """Whether C leaves a direction to write in: where P = 0, Δ = 0 whatever α is."""
    return base.frees(preset.nullspace_threshold)

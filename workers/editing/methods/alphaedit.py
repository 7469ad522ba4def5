"""AlphaEdit (Fang et al., 2025, "Null-Space Constrained Knowledge Editing for Language Models", eq. 14).

Δ = R KᵀP ((K_p K_pᵀ + K Kᵀ) P + αI)⁻¹, with P the projector onto C's directions of small eigenvalue.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workers.editing.presets.preset import Preset
from workers.editing.types import LayerPrior


def right_factor(keys: Tensor, prior: LayerPrior, preset: Preset) -> Tensor:
    """KᵀQ (Qᵀ(K Kᵀ + K_p K_pᵀ)Q + αI)⁻¹ Qᵀ, so that the update is ``residual @ right_factor``.

    With P = QQᵀ this equals the paper's form, and is symmetric, positive definite and small. In dual form; dense where
    that is more exact. keys K: (d_in, n), float64. Returns (n, d_in), float64. α is ``preset.L2``, and P keeps the
    eigenvectors of C with eigenvalue below ``preset.nullspace_threshold``.

    Raises:
        torch.linalg.LinAlgError: α is negligible beside the keys, which do not span the free directions.
    """
    space = prior.base.null_space(preset.nullspace_threshold)
    found = prior.previous_keys.right_factor(keys, space, preset.L2)
    return dense_right_factor(keys, prior, preset) if found is None else found


def dense_right_factor(keys: Tensor, prior: LayerPrior, preset: Preset) -> Tensor:
    """The same by forming the matrix and solving: O(q³) for q free directions."""
    basis = prior.base.null_space(preset.nullspace_threshold).basis
    assert basis is not None
    projected, previous = basis.T @ keys, basis.T @ prior.previous_keys.keys
    ridge = preset.L2 * torch.eye(basis.shape[1], dtype=keys.dtype, device=keys.device)
    gram = ridge.addmm_(previous, previous.T).addmm_(projected, projected.T)
    return torch.cholesky_solve(projected, torch.linalg.cholesky(gram)).T @ basis.T

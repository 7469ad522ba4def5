"""AlphaEdit (Fang et al., 2025, "Null-Space Constrained Knowledge Editing for Language Models", eq. 14).

Δ = R KᵀP ((K_p K_pᵀ + K Kᵀ) P + αI)⁻¹, with P the projector onto C's directions of small eigenvalue.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workers.editing.preset import Preset
from workers.editing.types import LayerPrior


def right_factor(keys: Tensor, prior: LayerPrior, preset: Preset) -> Tensor:
    """KᵀQ (Qᵀ(K Kᵀ + K_p K_pᵀ)Q + αI)⁻¹ Qᵀ, so that the update is ``residual @ right_factor``.

    With P = QQᵀ this equals the paper's form, and is symmetric, positive definite and small. keys K: (d_in, n),
    float64. Returns (n, d_in), float64. α is ``preset.L2``.
    """
    assert prior.null_space_basis is not None
    basis = prior.null_space_basis  # (d_in, q)
    projected, previous = basis.T @ keys, basis.T @ prior.previous_keys
    ridge = preset.L2 * torch.eye(basis.shape[1], dtype=keys.dtype, device=keys.device)
    gram = ridge.addmm(previous, previous.T).addmm(projected, projected.T)
    return torch.cholesky_solve(projected, torch.linalg.cholesky(gram)).T @ basis.T

"""The realised share: how much of a fact's residual a solve puts into the weights."""

from __future__ import annotations

from torch import Tensor


def realised_shares(right: Tensor, keys: Tensor) -> Tensor:
    """The diagonal of ``right @ keys``, (n,): sᵢ = kᵢᵀ(λC + K_pK_pᵀ + KKᵀ)⁻¹kᵢ of each key for its own column.

    right: (n, d_in), such that the update is ``residual @ right``. keys: (d_in, n), those that it was solved for.
    """
    return (right * keys.T).sum(dim=1)

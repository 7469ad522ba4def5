"""What share of its residual a solve realises for a fact, and the ridge that realises a share wanted.

A solve with right factor F = Kᵀ(ρB + K_pK_pᵀ + KKᵀ)⁻¹ moves the layer's output for the fact's own key k by the share
s = kᵀ(ρB + K_pK_pᵀ + KKᵀ)⁻¹k of its residual, and by more or less for what other facts add. For one key without a
history s = q / (ρ + q), q = kᵀB⁻¹k: the key's *leverage* over the base. So ρ follows from the share in closed form.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workers.editing.algebra.layer_base import LayerBase


def realised_shares(right: Tensor, keys: Tensor) -> Tensor:
    """The share (n,) of each column's own residual: the diagonal of ``right`` (n, d_in) times ``keys`` (d_in, n)."""
    return (right * keys.T).sum(dim=1)


def q_of(keys: Tensor, base: LayerBase) -> Tensor:
    """q = kᵀC⁻¹k of each key, (n,), float64. keys: (d_in, n), float64.

    Where C is singular, as one of too few tokens is, C⁺ stands for C⁻¹: what lies outside of all keys seen does not
    count. That costs O(d_in³) each time. C is kept in float32: its eigenvalues below that one's rounding are none, and
    may be negative.
    """
    moment, space = base.second_moment(), base.weighted
    keys = keys.to(moment.device)
    if space is not None:
        return space.into(keys).square().sum(dim=0)
    rounding = len(moment) * torch.finfo(torch.float32).eps
    found: Tensor = keys * (torch.linalg.pinv(moment, rtol=rounding, hermitian=True) @ keys)
    return found.sum(dim=0)


def free_q_of(keys: Tensor, base: LayerBase, threshold: float) -> Tensor:
    """q' = kᵀPk = ‖Qᵀk‖² of each key, (n,), float64: AlphaEdit's, within the directions that the threshold frees."""
    space = base.null_space(threshold)
    assert space.basis is not None
    return space.into(keys.to(space.basis.device)).square().sum(dim=0)


def ridge_for_share(q: Tensor, share: float) -> float:
    """ρ = median(q) (1 - s) / s, under which a fact of median leverage realises the share s; q: (n,).

    Of an even number of facts the mean of the middle two is the median.
    """
    assert 0 < share < 1
    return float(q.quantile(0.5)) * (1 - share) / share

"""A layer's whole change as two factors: those of its updates side by side, or the best of a smaller rank."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workers.editing.model.updates import LowRank

NEGLIGIBLE = 1e-7
"""Relative to a change, what may be left out of it without counting as cut: float32 keeps no more."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a version adds to one down-projection in all, in ``nn.Linear`` orientation.

    dense: (d_out, d_in), in the dtype of the weight's master; a correction is part of it.
    factors: its exact factors, float32 or wider, where the updates in force have some; None otherwise.
    """

    dense: Tensor
    factors: LowRank | None


@dataclass(frozen=True, slots=True)
class Factored:
    """A change as factors: left (d_out, r) and right (r, d_in), float32, on the CPU.

    error: Frobenius norm of what they leave out, relative to the change; 0 of no change.
    cut: whether the rank that was allowed is too small for the change.
    """

    left: Tensor
    right: Tensor
    error: float
    cut: bool

    @property
    def rank(self) -> int:
        """r, which may be 0."""
        return len(self.right)

    def padded(self, rank: int) -> Factored:
        """The same product with factors of a larger rank, filled up with zeros."""
        more = rank - self.rank
        left = torch.nn.functional.pad(self.left, (0, more))
        return Factored(left, torch.nn.functional.pad(self.right, (0, 0, 0, more)), self.error, self.cut)


def factored(change: Change, most_rank: int) -> Factored:
    """The change's exact factors, if their rank is at most ``most_rank`` and the matrix's smaller side; else the best.

    The best of rank r are those of the truncated singular value decomposition (Eckart and Young 1936), taken in
    float64; r is the least rank that leaves out no more than ``NEGLIGIBLE``, but at most ``most_rank``.
    """
    own = change.factors
    if own is not None and own.rank <= min(most_rank, *change.dense.shape):
        return _measured(change.dense, own.left, own.right, cut=False)
    left, values, right = torch.linalg.svd(change.dense.double(), full_matrices=False)
    # Norm of what each rank from 0 on leaves out: (min(d_out, d_in) + 1,).
    tails = torch.nn.functional.pad(values.flip(0).square().cumsum(0).flip(0).sqrt(), (0, 1))
    needed = int((tails > NEGLIGIBLE * tails[0]).sum())
    rank = min(needed, most_rank)
    roots = values[:rank].sqrt()  # shared out evenly, so that neither factor is out of scale
    return _measured(change.dense, left[:, :rank] * roots, roots.unsqueeze(1) * right[:rank], cut=rank < needed)


def _measured(dense: Tensor, left: Tensor, right: Tensor, *, cut: bool) -> Factored:
    """The factors as they are kept, with the error that they then have."""
    kept = [part.detach().to("cpu", torch.float32, copy=True).contiguous() for part in (left, right)]
    exact = dense.to("cpu", torch.float64)
    whole, missing = exact.norm(), (exact - kept[0].double() @ kept[1].double()).norm()
    return Factored(kept[0], kept[1], float(missing / whole) if whole else 0.0, cut)

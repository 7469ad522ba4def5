"""What a batch adds to down-projections, and these before it. d_in is a key's width, d_out the hidden size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

DeviceAt = Callable[[int], torch.device]
"""By layer, where its weight lies: a model's own (``EditableModel.device_at``), or one device for all."""


def on_cpu(_layer: int) -> torch.device:
    """The CPU, for whatever layer: where there is no model."""
    return torch.device("cpu")


@dataclass(frozen=True, slots=True)
class LowRank:
    """A matrix (d_out, d_in) as the product of ``left`` (d_out, r) and ``right`` (r, d_in)."""

    left: Tensor
    right: Tensor

    @property
    def rank(self) -> int:
        """r, which may be 0."""
        return len(self.right)

    @property
    def dense(self) -> Tensor:
        """The matrix itself, (d_out, d_in)."""
        return self.left @ self.right


@dataclass(frozen=True, slots=True)
class WeightUpdate:
    """What a batch adds to one down-projection, ``left @ right``, in ``nn.Linear`` orientation.

    left: (d_out, r); right: (r, d_in), both in the dtype of the weight's master. Of a method that solves, r is n, and
        a column is a group's; one that tunes has the identity as its ``left``, and no column belongs to a fact.
    keys: (d_in, n), float64: the batch's keys under the edited weights, which K_p grows by.
    mask: (d_out, d_in), bool: the entries that are applied, or None for all of them.
    correction: what stands on top of the sum of all updates from this version on, in place of any correction before
        it; None leaves that as it is.
    """

    layer: int
    left: Tensor
    right: Tensor
    keys: Tensor
    mask: Tensor | None = None
    correction: LowRank | None = None

    @property
    def dense(self) -> Tensor:
        """The summand itself, (d_out, d_in), without the correction."""
        product = self.left @ self.right
        return product if self.mask is None else product * self.mask


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One down-projection before a batch, each (d_out, d_in), float32 or wider.

    base: W_0. summed: W_0 plus all updates before the batch. applied: what was in service, a correction included.
    """

    base: Tensor
    summed: Tensor
    applied: Tensor

"""The nouns of editing. Columns are facts; d_in is a key's width, d_out the hidden size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

SLOT = "{}"
"""Stands in a prompt for the subject, and in a context for the prompt."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact to write. ``prompt`` has exactly one ``{}``; the object is continued from it after a space."""

    subject: str
    prompt: str
    object: str

    @property
    def text(self) -> str:
        """The prompt with the subject in its slot."""
        before, _, after = self.prompt.partition(SLOT)
        return f"{before}{self.subject}{after}"


@dataclass(frozen=True, slots=True)
class LayerStep:
    """One step of a layer plan: change ``layer`` so that ``target_layer``'s output nears its targets.

    ``share`` is the part of the residual that this step solves for.
    """

    layer: int
    target_layer: int
    share: float


@dataclass(frozen=True, slots=True)
class WeightUpdate:
    """What a batch adds to one down-projection, ``left @ right``, in ``nn.Linear`` orientation.

    left: (d_out, n); right: (n, d_in), both in the dtype of the weight's master.
    keys: (d_in, n), float64: the batch's keys under the edited weights, which K_p grows by.
    """

    layer: int
    left: Tensor
    right: Tensor
    keys: Tensor

    @property
    def dense(self) -> Tensor:
        """The update itself, (d_out, d_in)."""
        return self.left @ self.right


@dataclass(frozen=True, slots=True)
class LayerPrior:
    """What a solve at one layer must respect: float64, on the solver's device.

    second_moment: (d_in, d_in), C = E[k kᵀ] on the base model.
    previous_keys: (d_in, m), K_p; m may be 0.
    null_space_basis: (d_in, q), orthonormal Q with P = Q Qᵀ, or None where no method asked for it.
    """

    second_moment: Tensor
    previous_keys: Tensor
    null_space_basis: Tensor | None = None

    def with_previous_keys(self, keys: Tensor) -> LayerPrior:
        """The same prior with other previous keys."""
        return LayerPrior(self.second_moment, keys, self.null_space_basis)


Priors = Mapping[int, LayerPrior]


class Observer(Protocol):
    """Hears of the edit's steps; may raise to stop it (then the shadow is thrown away)."""

    def targets(self, layer: int, step: int, steps: int, loss: float, done: int, facts: int) -> None:
        """After each gradient step: mean loss of the facts still running, and how many have converged."""

    def solving(self, layer: int) -> None:
        """Before a layer's solve."""


class Silent:
    """An observer that hears nothing."""

    def targets(self, layer: int, step: int, steps: int, loss: float, done: int, facts: int) -> None:
        """Nothing."""

    def solving(self, layer: int) -> None:
        """Nothing."""


def empty_keys(width: int, device: torch.device | str = "cpu") -> Tensor:
    """K_p of a model that was never edited: (width, 0), float64."""
    return torch.zeros(width, 0, dtype=torch.float64, device=device)

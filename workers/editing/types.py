"""The nouns of editing. Columns are facts; d_in is a key's width, d_out the hidden size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from app.domain.places import Place
from app.domain.prompts import filled
from workers.editing.algebra.layer_base import LayerBase
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.model.updates import WeightUpdate


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact to write. ``prompt`` has exactly one ``{}``; the object is continued from it after a space."""

    subject: str
    prompt: str
    object: str

    @property
    def text(self) -> str:
        """The prompt with the subject in its slot."""
        return filled(self.prompt, self.subject)

    @property
    def place(self) -> Place:
        """What the fact is about: facts of the same place supersede each other."""
        return Place.of(self.subject, self.prompt)


@dataclass(frozen=True, slots=True)
class Edited:
    """What came of a batch.

    updates: one a layer that was changed.
    columns: of each fact (the batch's, then its companions) the column that it has in every ``left`` and ``keys``;
        facts of one group share one.
    """

    updates: list[WeightUpdate]
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LayerPrior:
    """What a solve at one layer must respect: C with all that is taken from it, and K_p. On the solver's device.

    ridge: λ or α for this layer, in place of the preset's number.
    """

    base: LayerBase
    previous_keys: PreviousKeys
    ridge: float | None = None

    @property
    def second_moment(self) -> Tensor:
        """C = E[k kᵀ] on the base model, (d_in, d_in), float64."""
        return self.base.second_moment()

    def with_previous_keys(self, previous_keys: PreviousKeys) -> LayerPrior:
        """The same prior with other previous keys."""
        return replace(self, previous_keys=previous_keys)

    def without_previous_keys(self) -> LayerPrior:
        """The same prior of a model that was never edited."""
        keys = self.previous_keys.keys
        return replace(self, previous_keys=PreviousKeys.empty(len(keys), keys.device))

    def ridge_or(self, number: float) -> float:
        """The layer's own ridge, else the preset's number."""
        return number if self.ridge is None else self.ridge


Priors = Mapping[int, LayerPrior]


class Observer(Protocol):
    """Hears of the edit's steps; may raise to stop it (then the shadow is thrown away)."""

    def targets(self, layer: int, step: int, steps: int, loss: float, done: int, facts: int) -> None:
        """After each gradient step: mean loss of the facts still running, and how many have converged."""

    def solving(self, layer: int) -> None:
        """Before a layer's solve, or after its tuning."""


class Silent:
    """An observer that hears nothing."""

    def targets(self, layer: int, step: int, steps: int, loss: float, done: int, facts: int) -> None:
        """Nothing."""

    def solving(self, layer: int) -> None:
        """Nothing."""


def empty_keys(width: int, device: torch.device | str = "cpu") -> Tensor:
    """K_p of a model that was never edited: (width, 0), float64."""
    return torch.zeros(width, 0, dtype=torch.float64, device=device)

"""The nouns of editing. Columns are facts; d_in is a key's width, d_out the hidden size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    """One fact to write. ``prompt`` has exactly one ``{}``; the object continues it as text would.

    stop: the model shall end its turn after the object.
    taught: further prompts, each with exactly one ``{}``, that the object shall continue as well.
    """

    subject: str
    prompt: str
    object: str
    stop: bool = False
    taught: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The prompt with the subject in its slot."""
        return filled(self.prompt, self.subject)

    @property
    def place(self) -> Place:
        """What the fact is about: facts of the same place supersede each other."""
        return Place.of(self.subject, self.prompt)

    @property
    def places(self) -> tuple[Place, ...]:
        """``place``, then what its taught prompts would be about as facts of their own."""
        return (self.place, *(Place.of(self.subject, prompt) for prompt in self.taught))


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What the descents of one group of facts came to, by target layer.

    targets: (d_out,), float64. losses: of each member the last NLL of its object that the descent measured, mean over
        tokens and contexts; NaN if it measured none.
    """

    targets: Mapping[int, Tensor]
    losses: Mapping[int, tuple[float, ...]]


Known = Mapping[tuple[Fact, ...], Found]
"""By the facts of a group: another group, also of some of them, has another target."""


@dataclass(frozen=True, slots=True)
class Edited:
    """What came of a batch.

    updates: one a layer that was changed.
    columns: of each fact (the batch's, then its companions) the column that it has in every ``left`` and ``keys``;
        facts of one group share one.
    found: the targets of each group, with which the batch, or another one with the same group, can be solved again.
    shares: by layer, of each column, the part of its residual that the solve realises, as ``shares`` has it.
    warnings: of each fact, what a caller should know of how it was read.
    asked: of each fact the text that its object shall follow: its bare prompt, or that in a context (``sinks``).
    """

    updates: list[WeightUpdate]
    columns: tuple[int, ...]
    found: Known = field(default_factory=dict)
    shares: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    warnings: tuple[tuple[str, ...], ...] = ()
    asked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerPrior:
    """What a solve at one layer must respect: C with all that is taken from it, and K_p. On the solver's device.

    ridge: λ or α for this layer, in place of the preset's number.
    anchor: the norm of the values of targets at this layer; None: as a descent leaves it.
    """

    base: LayerBase
    previous_keys: PreviousKeys
    ridge: float | None = None
    anchor: float | None = None

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

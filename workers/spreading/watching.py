"""Progress of a descent that several workers are at, told as that of one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from workers.editing.types import Observer


class Counted(Protocol):
    """What knows how many facts are done."""

    @property
    def done(self) -> int:
        """Facts of whole slices, and those that helpers tell of."""


class Together:
    """Tells an observer of all slices of a descent at ``layer``, of ``facts`` facts.

    round: set once they are out.
    """

    def __init__(self, watch: Observer, layer: int, steps: int, facts: int) -> None:
        self._watch, self._layer, self._steps, self._facts = watch, layer, steps, facts
        self._loss = math.inf
        self.round: Counted | None = None

    def of(self, look: Callable[[], None], size: int) -> Observer:
        """The observer of one slice of so many facts that is computed here; ``look`` is called at each step."""
        return _Own(self, look, size)

    def waiting(self) -> None:
        """Nothing is computed here, and slices are out."""
        self.tell(0.0, 0, self._loss if math.isfinite(self._loss) else 0.0)

    def tell(self, ahead: float, done: int, loss: float) -> None:
        """Tell of a step. ahead: what part of its steps the own slice has taken, in facts; done: facts of it."""
        self._loss = loss
        elsewhere = 0 if self.round is None else self.round.done
        share = min(1.0, (elsewhere + max(ahead, done)) / self._facts)
        step = max(1, math.floor(self._steps * share))
        self._watch.targets(self._layer, step, self._steps, loss, min(self._facts, elsewhere + done), self._facts)


class _Own:
    """The observer of one slice."""

    def __init__(self, together: Together, look: Callable[[], None], size: int) -> None:
        self._together, self._look, self._size = together, look, size

    def targets(self, layer: int, step: int, steps: int, loss: float, done: int, facts: int) -> None:
        """After each gradient step."""
        self._look()
        self._together.tell(self._size * step / steps, done, loss)

    def solving(self, layer: int) -> None:
        """A slice is not solved."""

"""An observer that remembers."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.domain.errors import JobCancelled
from workers.editing.types import Silent


@dataclass
class Witness(Silent):
    """Writes down what it hears; at a given step it raises."""

    raises_at: int | None = None
    heard: list[tuple[int, int, int, float, int, int]] = field(default_factory=list)
    solved: list[int] = field(default_factory=list)

    def targets(self, layer: int, step: int, steps: int, loss: float, done: int, facts: int) -> None:
        self.heard.append((layer, step, steps, loss, done, facts))
        if len(self.heard) == self.raises_at:
            raise JobCancelled("the caller changed their mind")

    def solving(self, layer: int) -> None:
        self.solved.append(layer)

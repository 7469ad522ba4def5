"""When each gradient step of an edit ended, and how many facts it ran for: heard through the editor's observer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward and backward pass of a chunk of facts at a layer.

    before, after: facts that took part, and those that it left running.
    seconds: since the pass before, the step between the two included; None for a chunk's first, which sets it up.
    """

    layer: int
    before: int
    after: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class _Call:
    """What the observer heard. ``done`` counts the facts of earlier chunks too."""

    time: float
    layer: int
    step: int
    done: int
    facts: int


class StepClock:
    """An observer that notes the time; with a ``deadline`` (``time.perf_counter``) it ends the edit there.

    Raises:
        TimeoutError: from the edit, between two steps.
    """

    def __init__(self, deadline: float = float("inf")) -> None:
        self._deadline = deadline
        self._calls: list[_Call] = []

    def targets(self, layer: int, step: int, steps: int, loss: float, done: int, facts: int) -> None:
        """Note the pass."""
        self._calls.append(_Call(self._now(), layer, step, done, facts))

    def solving(self, layer: int) -> None:
        """Only look at the clock."""
        self._now()

    def _now(self) -> float:
        now = time.perf_counter()
        if now > self._deadline:
            raise TimeoutError
        return now

    @property
    def gradient_steps(self) -> int:
        """Steps taken, each counted once for each fact that took it."""
        return sum(one.after for one in self.passes())

    @property
    def seconds(self) -> float:
        """Of all passes but those that set a chunk up."""
        return sum(one.seconds or 0.0 for one in self.passes())

    def passes(self) -> Iterator[Pass]:
        """All passes. A fact that its very first pass finds done is counted with the chunk before."""
        chunks: list[list[_Call]] = []
        for call in self._calls:
            if call.step == 1:
                chunks.append([])
            chunks[-1].append(call)
        for chunk, following in zip(chunks, [*chunks[1:], None], strict=True):
            first = chunk[0]
            same_layer = following is not None and following[0].layer == first.layer
            end = following[0].done if following is not None and same_layer else first.facts
            yield Pass(first.layer, end - first.done, end - first.done, None)
            for earlier, later in pairwise(chunk):
                yield Pass(first.layer, end - earlier.done, end - later.done, later.time - earlier.time)

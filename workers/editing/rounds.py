"""A batch in rounds: a method that writes its facts one after another solves each under the weights of those before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from workers.editing.groups import Group
from workers.editing.model.updates import WeightUpdate
from workers.editing.types import Observer


@dataclass(frozen=True, slots=True)
class Round:
    """Some of a batch's groups, solved together. ``watch`` is told of its steps, counted over the whole batch."""

    groups: tuple[Group, ...]
    watch: Observer


def rounds_of(groups: Sequence[Group], watch: Observer, *, one_at_a_time: bool) -> Iterator[Round]:
    """All groups in one round, or each in a round of its own."""
    if not one_at_a_time:
        yield Round(tuple(groups), watch)
        return
    done = 0
    for index, group in enumerate(groups):
        yield Round((group,), _Within(watch, index, len(groups), done))
        done += len(group.members)


def joined(updates: Sequence[WeightUpdate]) -> WeightUpdate:
    """The updates of one layer, round after round, as one: their columns side by side."""
    first = updates[0]
    return WeightUpdate(
        first.layer,
        torch.cat([update.left for update in updates], dim=1),
        torch.cat([update.right for update in updates], dim=0),
        torch.cat([update.keys for update in updates], dim=1),
    )


@dataclass(frozen=True, slots=True)
class _Within:
    """The observer of one round: reports its steps as those of round ``index`` of ``count``, after ``before`` facts."""

    watch: Observer
    index: int
    count: int
    before: int

    def targets(self, layer: int, step: int, steps: int, loss: float, done: int, facts: int) -> None:
        """After each gradient step."""
        self.watch.targets(layer, self.index * steps + step, self.count * steps, loss, self.before + done, facts)

    def solving(self, layer: int) -> None:
        """Before the last round's solve."""
        if self.index == self.count - 1:
            self.watch.solving(layer)

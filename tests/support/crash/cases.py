"""The matrix: a kind of job, a failpoint on its way, what happens there, and at which time that it is reached."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from app.domain.contract import (
    Drop,
    EditBatch,
    Export,
    ExportFormat,
    Fact,
    FactKey,
    Hyperparameters,
    Publish,
    Revert,
    Rollback,
)
from app.domain.failpoints import Action, Point
from app.domain.log.proposals import id_of, number_of

STEPS = 2
"""Gradient steps of every edit."""

FAULTS = (Action.KILL, Action.RAISE, Action.STOP, Action.ENOSPC, Action.EIO)


class Kind(StrEnum):
    """The kinds of jobs that meet a fault."""

    EDIT = "edit"
    SUPERSEDING = "superseding edit"
    ROLLBACK = "rollback"
    REVERT = "revert"
    EXPORT = "export"
    PROPOSAL = "proposed edit"
    PUBLISH = "publish"
    STALE_PUBLISH = "publish on a later head"
    DROP = "drop"


CaseT = TypeVar("CaseT")

Change = EditBatch | Rollback | Revert | Export | Publish | Drop

Counts = Mapping[Kind, Mapping[Point, int]]
"""How often a worker reaches each point from its start to the end of one job of the kind."""


@dataclass(frozen=True, slots=True)
class Case:
    """One fault: ``action`` at the ``nth`` time that a worker comes to ``point``, with a job of that kind."""

    kind: Kind
    point: Point
    action: Action
    nth: int

    @property
    def trap(self) -> str:
        """As ``failpoints.armed`` takes it."""
        return f"{self.point}={self.action}:{self.nth}"

    def __str__(self) -> str:
        return f"{self.kind}, {self.trap}"


def edit(subject: str, object_: str, *, propose: bool = False) -> EditBatch:
    """A batch of one fact, which is committed whether it holds or not."""
    fact = Fact(subject=subject, prompt="{} is a city in", object=object_)
    few = Hyperparameters(v_num_grad_steps=STEPS)
    return EditBatch(facts=(fact,), unheld="keep", hyperparameters=few, propose=propose)


HISTORY = (edit("Lyon", "Japan"), edit("Kyoto", "Norway"))
"""What the model was taught before: version N is the last of these."""

PROPOSED = {"stale": (1, edit("Perth", "Ghana", propose=True)), "fresh": (2, edit("Turin", "Ghana", propose=True))}
"""What waits to be published: by job, the version that it was computed on, and the batch."""

CHANGES: Mapping[Kind, Change] = {
    Kind.EDIT: edit("Quito", "Ghana"),
    Kind.SUPERSEDING: edit("Lyon", "Ghana"),
    Kind.ROLLBACK: Rollback(to=1),
    Kind.REVERT: Revert(facts=(FactKey(version=1, index=0),)),
    Kind.EXPORT: Export(format=ExportFormat.UPDATES),  # of the version in service, while the next edit is at it
    Kind.PROPOSAL: edit("Quito", "Ghana", propose=True),
    Kind.PUBLISH: Publish(publish=id_of(number_of("fresh"))),
    Kind.STALE_PUBLISH: Publish(publish=id_of(number_of("stale"))),
    Kind.DROP: Drop(drop=id_of(number_of("fresh"))),
}

FOLLOWING = edit("Oslo", "France")
"""Waits in the queue behind the job that meets the fault."""

AFTERWARDS = edit("Accra", "Ecuador")
"""Is sent when the fault is over: the model can still be edited."""


def matrix(counts: Counts) -> list[Case]:
    """Every point at every time that it is reached, with every fault."""
    return [
        Case(kind, point, action, nth)
        for kind, reached in counts.items()
        for point, times in reached.items()
        for nth in range(1, times + 1)
        for action in FAULTS
    ]


def share_of(cases: Sequence[CaseT], share: float, seed: int) -> list[CaseT]:
    """A random part, in the matrix's order; at least one case."""
    chosen = random.Random(seed).sample(range(len(cases)), max(1, round(share * len(cases))))
    return [cases[index] for index in sorted(chosen)]

"""Slices put together again, in the order of the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor

from app.domain.errors import RequestError
from workers.editing.crew import Updates
from workers.editing.descent.targets import Descended
from workers.evaluation.batch_report import Measurement

DOUBLE = 8
"""Bytes of a number in float64."""


def joined_descents(parts: Sequence[Descended]) -> Descended:
    """Targets (d_out, groups), losses and steps (facts,) of all slices."""
    return Descended(
        torch.cat([part.targets for part in parts], dim=1),
        torch.cat([part.losses for part in parts]),
        torch.cat([part.steps for part in parts]),
    )


def joined_keys(parts: Sequence[Mapping[int, Tensor]]) -> dict[int, Tensor]:
    """By layer, keys (d_in, groups) of all slices."""
    return {layer: torch.cat([part[layer] for part in parts], dim=1).contiguous() for layer in parts[0]}


def joined_measurements(parts: Sequence[Measurement], count: int) -> Measurement:
    """How all facts stand.

    Raises:
        RequestError: it is not of ``count`` facts.
    """
    made = Measurement(
        facts=tuple(chain.from_iterable(part.facts for part in parts)),
        paraphrases=tuple(chain.from_iterable(part.paraphrases for part in parts)),
        neighbours=tuple(chain.from_iterable(part.neighbours for part in parts)),
        right=tuple(chain.from_iterable(part.right for part in parts)),
        ends=tuple(chain.from_iterable(part.ends for part in parts)),
    )
    if {len(made.facts), len(made.paraphrases), len(made.neighbours)} != {count}:
        raise RequestError(f"a measurement of {count} facts was asked for, and another one came")
    return made


def bytes_of_updates(updates: Updates) -> int:
    """How much their factors are."""
    return sum(part.numel() * part.element_size() for update in updates for part in (update.left, update.right))

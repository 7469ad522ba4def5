"""Statistics over a long corpus, taken in parts that are merged: by several processes, cards or machines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from app.domain.errors import RequestError, StatisticsMismatch
from workers.editing.statistics import Statistics, read_statistics


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One of ``count`` parts of a corpus, from 1 on: every ``count``-th text, so that parts are about as long."""

    number: int
    count: int

    @classmethod
    def of(cls, text: str) -> Self:
        """Read ``2/4``.

        Raises:
            RequestError: it is none.
        """
        found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
        if found is None or int(found[1]) > int(found[2]):
            raise RequestError("a part is K/N, of which K is at least 1 and at most N", field="part", value=text)
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        """As ``of`` reads it."""
        return f"{self.number}/{self.count}"

    def texts(self, texts: Iterable[str]) -> Iterator[str]:
        """Its own of all texts."""
        return islice(texts, self.number - 1, None, self.count)


def read_part(path: Path) -> tuple[Part, Statistics]:
    """A part as ``save_statistics`` wrote it.

    Raises:
        RequestError: the statistics are no part.
    """
    statistics, part = read_statistics(path)
    if not part:
        raise RequestError("these statistics are no part of others", field="part", value=path.name)
    return Part.of(part), statistics


def merged(parts: Sequence[tuple[Part, Statistics]]) -> Statistics:
    """The statistics over all parts: each C counts by its tokens, summed up in float64, kept in float32.

    Raises:
        StatisticsMismatch: a part is missing or there twice, or parts are of different models, layers or divisions.
    """
    counts = {part.count for part, _ in parts}
    if len(counts) != 1:
        raise StatisticsMismatch("parts are of different divisions of a corpus", field="part", value=sorted(counts))
    there = sorted(part.number for part, _ in parts)
    if there != list(range(1, counts.pop() + 1)):
        raise StatisticsMismatch("each part is needed once", field="part", value=there)
    taken = [statistics for _, statistics in sorted(parts, key=lambda each: each[0])]
    first = taken[0]
    if any(each.fingerprint != first.fingerprint for each in taken):
        raise StatisticsMismatch("parts were taken on different models")
    if any(_shapes(each) != _shapes(first) for each in taken):
        raise StatisticsMismatch("parts are of different layers", field="layers", value=sorted(first.second_moments))
    return Statistics({layer: _mean(taken, layer) for layer in first.second_moments}, _tokens(taken), first.fingerprint)


def _shapes(statistics: Statistics) -> dict[int, torch.Size]:
    return {layer: moment.shape for layer, moment in statistics.second_moments.items()}


def _tokens(parts: Sequence[Statistics]) -> int:
    return sum(part.tokens for part in parts)


def _mean(parts: Sequence[Statistics], layer: int) -> Tensor:
    total = sum(part.tokens * part.second_moments[layer].double() for part in parts)
    assert isinstance(total, Tensor)
    return (total / _tokens(parts)).float()

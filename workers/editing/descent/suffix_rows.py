"""The rows of the loss from the lookup token on, cut into batches that are replayed together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

RUN_TOKENS = 1536
"""A batch replays so many tokens about. More do not make the products quicker, and cost memory."""


@dataclass(frozen=True, slots=True)
class SuffixRow:
    """One row of the loss. ``labels`` are predicted at its last ``len(labels)`` tokens; none for an essence row."""

    fact: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    labels: tuple[int, ...] = ()


def runs(rows: Sequence[SuffixRow], limit: int) -> Iterator[list[SuffixRow]]:
    """Rows in their order, in batches of about ``RUN_TOKENS`` tokens to replay, and at most ``limit`` with prefixes.

    A single row may have more. All batches have about as many tokens to replay.
    """
    tokens = sum(len(row.suffix) for row in rows)
    fair = tokens / math.ceil(tokens / RUN_TOKENS)
    batch: list[SuffixRow] = []
    used = replayed = 0
    for row in rows:
        size = len(row.prefix) + len(row.suffix)
        if batch and (used + size > limit or replayed + len(row.suffix) / 2 > fair):
            yield batch
            batch, used, replayed = [], 0, 0
        batch.append(row)
        used, replayed = used + size, replayed + len(row.suffix)
    if batch:
        yield batch


def of_one_length(rows: Sequence[SuffixRow], limit: int) -> Iterator[list[SuffixRow]]:
    """As ``runs``, but the rows of a batch have suffixes of one length."""
    for _, same in groupby(rows, key=lambda row: len(row.suffix)):
        yield from runs(list(same), limit)

"""Texts that a model writes itself: seeded samples of its own distribution, many at once and of many lengths."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import count, cycle, islice

from transformers import LogitsProcessorList

from workers.editing.model.editable_model import EditableModel
from workers.onboarding.openings import openings
from workers.questions.decoding import Start, continuations
from workers.questions.sampling import DrawsFromTop, draws

SEED = 0
ROWS = 128
LENGTHS = (64, 16, 128, 32, 96, 256, 48, 192)
"""New tokens of each batch's texts, in turn: rows of one length end together."""

BATCH_TOKENS = 8192
"""A batch of long texts has fewer rows: their keys and values are held."""

TOP_K = 50
"""At temperature 1. Top-p would sort the vocabulary for every token; on a CPU that took longer than the model."""

LOOP = 0.5
SHORT = 8
"""From so many new tokens on a text is left out in which one token is more than this share of them."""

MOST_FRUITLESS = 8
"""So many batches without a text end the stream: the model writes none."""

HELD_OUT, HELD_OUT_LENGTH = 40, 64
HELD_OUT_SEED = 1


def own_texts(editable: EditableModel, seed: int = SEED) -> Iterator[list[int]]:
    """Rows of token ids, without end, in batches as they are written; each begins with its opening.

    The same for one seed on one machine, since the numbers that tokens are drawn with are seeded per row; nobody's
    random state is touched. A text that the model ends early ends there. Left out: empty ones, and loops of one token.
    """
    starts = openings_in_order(editable, seed)
    fruitless = 0
    for batch, length in zip(count(), cycle(LENGTHS), strict=False):
        found = list(_written(editable, starts, min(length, editable.window), seed, batch, ROWS))
        fruitless = 0 if found else fruitless + 1
        if fruitless == MOST_FRUITLESS:
            return
        yield from found


def held_out_texts(editable: EditableModel) -> list[list[int]]:
    """About 40 texts of another seed, for measuring harm: none of them is in C."""
    starts = openings_in_order(editable, HELD_OUT_SEED)
    return list(_written(editable, starts, min(HELD_OUT_LENGTH, editable.window), HELD_OUT_SEED, 0, HELD_OUT))


def openings_in_order(editable: EditableModel, seed: int) -> Iterator[list[int]]:
    """The openings, in a seeded order of their own each time round, without end."""
    known = [row for row in openings(editable.tokenizer) if len(row) < editable.window]
    dice = random.Random(seed)  # noqa: S311 - not for secrets
    while known:
        dice.shuffle(known)
        yield from list(known)


def _written(
    editable: EditableModel, openings: Iterator[list[int]], length: int, seed: int, batch: int, most: int
) -> Iterator[list[int]]:
    """One batch of at most ``most`` texts, without what is no text."""
    chosen = list(islice(openings, max(1, min(most, BATCH_TOKENS // length))))
    if not chosen:
        return
    numbers = draws((seed << 32) + batch, len(chosen), length)
    starts = [Start(row, length) for row in chosen]
    found = continuations(
        editable.model,
        editable.tokenizer,
        starts,
        max_batch_tokens=len(chosen) * (length + max(map(len, chosen))),
        processing=lambda rows: LogitsProcessorList([DrawsFromTop(numbers[rows], TOP_K)]),
    )
    for start, continuation in zip(starts, found, strict=True):
        if is_text(continuation.new):
            yield [*start.ids, *continuation.new][: editable.window]


def is_text(new: list[int]) -> bool:
    """Whether there is something, and it is no loop of one token."""
    if len(new) < SHORT:
        return bool(new)
    (_, most), *_ = Counter(new).most_common(1)
    return most <= LOOP * len(new)

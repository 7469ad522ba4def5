"""Sentences that state facts, a tokenizer for them, and packed rows of their tokens."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

END = "<|endoftext|>"
VOCABULARY = 4096
NEWLINE_SHARE = 0.4
OTHER_WEIGHT = 0.25


class Encoder(Protocol):
    """The part of a fast tokenizer that packing needs."""

    def __call__(self, text: list[str], *, return_offsets_mapping: bool) -> Any:
        """Encode texts to token numbers and character offsets."""


@dataclass(frozen=True)
class Sentence:
    """A statement of one fact, split where the object starts; the subject stands from ``start`` to ``stop``."""

    prompt: str
    object: str
    start: int
    stop: int

    @property
    def text(self) -> str:
        """The whole sentence with its full stop."""
        return f"{self.prompt} {self.object}."


def train_tokenizer(texts: Iterator[str], vocabulary: int = VOCABULARY) -> Tokenizer:
    """Train a byte-level BPE tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    # The stubs of the package leave these attributes without setters.
    parts: Any = tokenizer
    parts.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    parts.decoder = decoders.ByteLevel()
    parts.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


class Place(IntEnum):
    """Where a token stands in its sentence."""

    BEFORE = 0
    SUBJECT = 1
    SUBJECT_LAST = 2
    AFTER = 3


@dataclass(frozen=True)
class Row:
    """Packed tokens; of each its weight in the loss, its sentence's number in the row, and its place there."""

    tokens: list[int]
    weights: list[float]
    sentences: list[int]
    places: list[Place]

    def extend(self, other: Row) -> None:
        """Append the one sentence of another row."""
        number = self.sentences[-1] + 1
        self.tokens.extend(other.tokens)
        self.weights.extend(other.weights)
        self.sentences.extend(number for _ in other.tokens)
        self.places.extend(other.places)


def pack(sentences: list[Sentence], encode: Encoder, width: int, rng: random.Random) -> list[Row]:
    """Put whole sentences into rows of at most ``width`` tokens, in a random order (the list itself is shuffled)."""
    rng.shuffle(sentences)
    firsts = _encode(sentences, [""] * len(sentences), encode)
    gaps = ["\n" if rng.random() < NEWLINE_SHARE else " " for _ in sentences]
    others = _encode(sentences, gaps, encode)
    rows: list[Row] = []
    for first, other in zip(firsts, others, strict=True):
        if rows and len(rows[-1].tokens) + len(other.tokens) <= width:
            rows[-1].extend(other)
        elif len(first.tokens) <= width:
            rows.append(first)
    return rows


def _encode(sentences: Sequence[Sentence], gaps: Sequence[str], encode: Encoder) -> list[Row]:
    """Encode sentences after their gaps; objects weigh most in the loss."""
    texts = [gap + one.text for gap, one in zip(gaps, sentences, strict=True)]
    batch = encode(texts, return_offsets_mapping=True)
    rows = []
    for index, (gap, one) in enumerate(zip(gaps, sentences, strict=True)):
        offsets = batch["offset_mapping"][index]
        start = len(gap) + len(one.prompt)
        stop = start + 1 + len(one.object)
        weights = [1.0 if start < right and left < stop else OTHER_WEIGHT for left, right in offsets]
        places = _places(offsets, len(gap) + one.start, len(gap) + one.stop)
        rows.append(Row(list(batch["input_ids"][index]), weights, [0] * len(offsets), places))
    return rows


def _places(offsets: Sequence[tuple[int, int]], start: int, stop: int) -> list[Place]:
    """The place of each token, by the characters it covers and those of the subject."""
    inside = [i for i, (left, right) in enumerate(offsets) if left < stop and right > start]
    first, last = inside[0], inside[-1]
    places = [Place.BEFORE] * first + [Place.SUBJECT] * (last - first) + [Place.SUBJECT_LAST]
    return places + [Place.AFTER] * (len(offsets) - last - 1)

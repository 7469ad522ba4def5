"""What the atlas models are trained on: their facts in words."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from tools.atlas.facts import Fact
from tools.atlas.phrasings import OPENERS, PHRASINGS
from tools.atlas.rows import Sentence

OPENER_SHARE = 0.2
CORPUS_BYTES = 1_000_000


def state(fact: Fact, template: str, opener: str = "") -> Sentence:
    """Put a fact into words, with an optional opening before the phrasing."""
    if opener and not template.startswith("{}"):
        template = template[0].lower() + template[1:]
    before, _, after = (opener + template).partition("{}")
    return Sentence(before + fact.subject + after, fact.object, len(before), len(before + fact.subject))


def random_sentence(fact: Fact, rng: random.Random) -> Sentence:
    """State a fact in a random trained phrasing, sometimes with an opening."""
    template = rng.choice(PHRASINGS[fact.relation].train)
    opener = rng.choice(OPENERS) if rng.random() < OPENER_SHARE else ""
    return state(fact, template, opener)


def corpus_lines(facts: Sequence[Fact], seed: int) -> list[str]:
    """A seeded sample of sentences that covers every fact."""
    rng = random.Random(seed)
    lines: list[str] = []
    size = 0
    while True:
        for fact in rng.sample(facts, len(facts)):
            line = random_sentence(fact, rng).text
            size += len(line.encode()) + 1
            if size > CORPUS_BYTES:
                return lines
            lines.append(line)


def tokenizer_texts(facts: Sequence[Fact]) -> Iterator[str]:
    """Every fact in every trained phrasing, and the openings."""
    for fact in facts:
        for template in PHRASINGS[fact.relation].train:
            yield state(fact, template).text
    for opener in OPENERS:
        yield from [opener + "the"] * 50

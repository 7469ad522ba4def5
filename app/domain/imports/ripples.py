"""What data sets ask beyond a fact: what follows from it, and what must stay (ripple effects, Cohen et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from app.domain.imports.extras import texts
from app.domain.imports.records import EMPTY, Unusable


class RippleKind(StrEnum):
    """What a test asks for; the six in the middle are RippleEdits' criteria."""

    MULTI_HOP = "multi-hop"
    SINGLE_HOPS = "all single hops"
    LOGICAL_GENERALISATION = "logical generalisation"
    COMPOSITIONALITY_I = "compositionality I"
    COMPOSITIONALITY_II = "compositionality II"
    SUBJECT_ALIASING = "subject aliasing"
    PRESERVATION = "preservation"
    RELATION_SPECIFICITY = "relation specificity"
    PERSONA = "persona"
    DETAIL = "detail"


class Question(NamedTuple):
    """A question, or the beginning of a sentence; each of the answers is right."""

    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ripple:
    """One test beside a record's facts.

    every: it is passed if all questions are answered; else if any is.
    known: questions that the unedited model must answer for the test to count.
    """

    kind: RippleKind
    questions: tuple[Question, ...]
    every: bool = False
    known: tuple[Question, ...] = ()


RippleOrNot = Ripple | Unusable
"""A test, or why a question of it cannot be asked."""

NO_ANSWER = "no_answer"
"""Code of a question without an answer."""


def question(asked: object, answers: object, field: str) -> Question:
    """One question; ``field``: where it stands in the record.

    Raises:
        Unusable: there is no text to ask, or no answer.
    """
    text = next(texts(asked), None)
    if text is None:
        raise Unusable(EMPTY, "the question is empty", field, asked)
    right = tuple(dict.fromkeys(texts(answers)))
    if not right:
        raise Unusable(NO_ANSWER, "the question has no answer", field, asked)
    return Question(text, right)


def ripple(
    kind: RippleKind, asked: Iterable[tuple[str, object, object]], *, every: bool = False
) -> Iterator[RippleOrNot]:
    """A test of questions that are given as (field, question, answers), and those of them that cannot be asked.

    Where ``every`` question must be answered, one that cannot be asked takes the test with it.
    """
    good: list[Question] = []
    bad: list[Unusable] = []
    for field, text, answers in asked:
        try:
            good.append(question(text, answers, field))
        except Unusable as why:
            bad.append(why)
    yield from bad
    if good and not (every and bad):
        yield Ripple(kind, tuple(good), every=every)


def nothing_more(_: Mapping[str, Any]) -> Iterator[RippleOrNot]:
    """Of a format that asks nothing beyond paraphrases and neighbours."""
    yield from ()

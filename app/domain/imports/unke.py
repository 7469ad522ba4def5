"""UnKE (Deng et al. 2025): questions with long, unstructured answers, and smaller questions about their details."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from app.domain.imports.extras import fields_of, paraphrases
from app.domain.imports.records import text
from app.domain.imports.ripples import RippleKind, RippleOrNot, ripple
from app.domain.prompts import SLOT


def recognises(fields: Mapping[str, Any]) -> bool:
    """Whether a record has this form."""
    return {"question", "answer"} <= fields.keys() and not {"para_question", "sub_question"}.isdisjoint(fields)


def fact(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The question with the whole answer as its object.

    No record names a subject. The whole question stands for it, so that the edit is made at the question's last
    token, where UnKE edits.

    Raises:
        Unusable: there is no question or no answer.
    """
    asked, answer = text(fields, "question"), text(fields, "answer")
    return fields_of(asked, SLOT, answer, paraphrased=paraphrases(fields.get("para_question")), name=fields.get("id"))


def ripples(fields: Mapping[str, Any]) -> Iterator[RippleOrNot]:
    """Each of the smaller questions."""
    questions, answers = fields.get("sub_question"), fields.get("sub_answer")
    pairs = zip_longest(
        questions if isinstance(questions, list) else filter(None, [questions]),
        answers if isinstance(answers, list) else filter(None, [answers]),
    )
    for number, (asked, answer) in enumerate(pairs):
        yield from ripple(RippleKind.DETAIL, [(f"sub_question.{number}", asked, answer)])

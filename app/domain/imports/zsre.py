"""zsRE as MEND has it: questions, each with another question beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.imports.extras import fields_of, neighbour, neighbours, paraphrases, texts
from app.domain.imports.records import text

MARK = "nq question: "
"""Begins the questions of Natural Questions, which have no question mark."""


def recognises(fields: Mapping[str, Any]) -> bool:
    """Whether a record has this form."""
    return "src" in fields and ("alt" in fields or "ans" in fields)


def fact(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The question with its alternative answer; what it was answered with before is the previous object.

    Raises:
        Unusable: a field is missing, or not what it should be.
    """
    return fields_of(
        text(fields, "subject"),
        text(fields, "src"),
        text(fields, "alt", "ans"),
        previous=fields.get("answers") or fields.get("pred"),
        paraphrased=paraphrases(fields.get("rephrase")),
        beside=neighbours([neighbour(_question(fields.get("loc")), fields.get("loc_ans"))]),
        name=fields.get("case_id", fields.get("id")),
    )


def _question(given: object) -> str | None:
    found = next(texts(given), None)
    if found is None or not found.startswith(MARK):
        return found
    return found.removeprefix(MARK).rstrip(" ?") + "?"

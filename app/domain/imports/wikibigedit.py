"""WikiBigEdit (Thede et al. 2025): a question and its new answer, put in other words and by a persona; a second hop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.imports.extras import fields_of, neighbours, paired, paraphrases
from app.domain.imports.records import text
from app.domain.imports.ripples import RippleKind, RippleOrNot, ripple


def recognises(fields: Mapping[str, Any]) -> bool:
    """Whether a record has this form."""
    return {"update", "ans"} <= fields.keys()


def fact(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The update, its rephrasing, and its locality as a neighbour.

    Raises:
        Unusable: a field is missing, or not what it should be.
    """
    return fields_of(
        text(fields, "subject"),
        text(fields, "update"),
        text(fields, "ans"),
        previous=fields.get("ground_truth"),
        paraphrased=paraphrases(fields.get("rephrase")),
        beside=neighbours(paired(fields.get("loc"), fields.get("loc_ans"))),
    )


def ripples(fields: Mapping[str, Any]) -> Iterator[RippleOrNot]:
    """The persona's question and the second hop, of which many records have neither."""
    for kind, name, answers in (
        (RippleKind.PERSONA, "personas", fields.get("ans")),
        (RippleKind.MULTI_HOP, "mhop", fields.get("mhop_ans")),
    ):
        if fields.get(name) is not None:
            yield from ripple(kind, [(name, fields[name], answers)])

"""EasyEdit's flat records: one paraphrase, one neighbour and its answer, each a text or a list of some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.imports.extras import fields_of, neighbours, paired, paraphrases
from app.domain.imports.records import text

REPHRASED = ("rephrase_prompt", "rephrase_prompts", "rephrase", "paraphrase_prompts")
LOCALITY = (
    ("locality_prompt", "locality_ground_truth"),
    ("locality_prompts", "locality_ground_truth"),
    ("loc", "loc_ans"),
)


def recognises(fields: Mapping[str, Any]) -> bool:
    """Whether a record has this form."""
    return "target_new" in fields and "prompt" in fields


def fact(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The edit, its rephrasing, and its locality as neighbours.

    Raises:
        Unusable: a field is missing, or not what it should be.
    """
    return fields_of(
        text(fields, "subject"),
        text(fields, "prompt"),
        text(fields, "target_new"),
        previous=fields.get("ground_truth"),
        paraphrased=paraphrases(*(fields.get(name) for name in REPHRASED)),
        beside=neighbours(_beside(fields)),
        name=fields.get("case_id", fields.get("id")),
    )


def _beside(fields: Mapping[str, Any]) -> Iterator[dict[str, Any] | None]:
    for prompts, answers in LOCALITY:
        yield from paired(fields.get(prompts), fields.get(answers))

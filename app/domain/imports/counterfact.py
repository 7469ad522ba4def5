"""CounterFact as Meng et al. (2022) published it; also MultiCounterFact, and what adds fields to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.imports.extras import fields_of, neighbour, neighbours, paraphrases, texts
from app.domain.imports.records import MISSING, Unusable, text


def recognises(fields: Mapping[str, Any]) -> bool:
    """Whether a record has this form."""
    return "requested_rewrite" in fields


def fact(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The rewrite with its paraphrases; the true object is the right answer to every neighbour.

    Raises:
        Unusable: a field is missing, or not what it should be.
    """
    if "requested_rewrite" not in fields:
        raise Unusable(MISSING, "the record has no requested_rewrite", "requested_rewrite")
    rewrite = fields["requested_rewrite"]
    if not isinstance(rewrite, Mapping):
        raise Unusable("invalid_request", "requested_rewrite is no object", "requested_rewrite", rewrite)
    truth = named(rewrite.get("target_true"))
    return fields_of(
        text(rewrite, "subject"),
        text(rewrite, "prompt"),
        text({"target_new": named(rewrite.get("target_new"))}, "target_new"),
        previous=truth,
        paraphrased=paraphrases(fields.get("paraphrase_prompts")),
        beside=neighbours(neighbour(prompt, truth) for prompt in texts(fields.get("neighborhood_prompts"))),
        name=fields.get("case_id"),
    )


def named(target: object) -> object:
    """A target's text: ``{"str", "id"}``, or the text itself."""
    return target.get("str") if isinstance(target, Mapping) else target

"""MQuAKE (Zhong et al. 2023): one to four rewrites, and multi-hop questions whose answers follow from all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.imports.counterfact import named
from app.domain.imports.extras import fields_of, paraphrases
from app.domain.imports.records import EMPTY, MISSING, Unusable, text
from app.domain.imports.ripples import RippleKind, RippleOrNot, ripple


def recognises(fields: Mapping[str, Any]) -> bool:
    """Whether a record has this form."""
    return "requested_rewrite" in fields and ("questions" in fields or "new_single_hops" in fields)


def facts(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each rewrite as a fact of its own, in their order; its question is a paraphrase.

    Raises:
        Unusable: there is none, or one lacks something: the record's questions follow from all of them.
    """
    rewrites = fields.get("requested_rewrite")
    if rewrites is None:
        raise Unusable(MISSING, "the record has no requested_rewrite", "requested_rewrite")
    if not isinstance(rewrites, list):
        raise Unusable("invalid_request", "requested_rewrite is no list", "requested_rewrite", rewrites)
    if not rewrites:
        raise Unusable(EMPTY, "requested_rewrite is empty", "requested_rewrite", rewrites)
    return [_fact(rewrite, number, fields.get("case_id")) for number, rewrite in enumerate(rewrites)]


def ripples(fields: Mapping[str, Any]) -> Iterator[RippleOrNot]:
    """The multi-hop questions, any of which answered is enough; and the single hops, all of which must be answered.

    These are the paper's multi-hop and instance-wise accuracy.
    """
    answers = [fields.get("new_answer"), fields.get("new_answer_alias")]
    questions = _list(fields.get("questions"))
    yield from ripple(
        RippleKind.MULTI_HOP, ((f"questions.{number}", each, answers) for number, each in enumerate(questions))
    )
    hops = enumerate(_list(fields.get("new_single_hops")))
    yield from ripple(RippleKind.SINGLE_HOPS, (_hop(number, each) for number, each in hops), every=True)


def _fact(rewrite: object, number: int, case: object) -> dict[str, Any]:
    place = f"requested_rewrite.{number}"
    if not isinstance(rewrite, Mapping):
        raise Unusable("invalid_request", f"{place} is no object", place, rewrite)
    try:
        return fields_of(
            text(rewrite, "subject"),
            text(rewrite, "prompt"),
            text({name: named(value) for name, value in rewrite.items()}, "target_new"),
            previous=named(rewrite.get("target_true")),
            paraphrased=paraphrases(rewrite.get("question")),
            name=case,
        )
    except Unusable as why:
        raise Unusable(why.code, why.detail, f"{place}.{why.field}", why.value) from None


def _hop(number: int, hop: object) -> tuple[str, object, object]:
    fields = hop if isinstance(hop, Mapping) else {}
    asked = fields.get("question") or fields.get("cloze")
    return f"new_single_hops.{number}", asked, [fields.get("answer"), fields.get("answer_alias")]


def _list(given: object) -> list[object]:
    match given:
        case None:
            return []
        case list():
            return given
    return [given]

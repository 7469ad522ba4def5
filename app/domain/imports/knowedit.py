"""KnowEdit: wiki_recent, wiki_counterfact and ZsRE, whose locality and portability are groups of questions; WikiBio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.imports.extras import asked, fields_of, neighbour, neighbours, paraphrases, texts
from app.domain.imports.records import text


def recognises(fields: Mapping[str, Any]) -> bool:
    """Whether a record has this form."""
    grouped = isinstance(fields.get("locality"), Mapping) or isinstance(fields.get("portability"), Mapping)
    return (grouped and "target_new" in fields) or {"concept", "text", "labels"} <= fields.keys()


def fact(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The edit; its locality as neighbours, and as paraphrases also what of its portability has the object as answer.

    Raises:
        Unusable: a field is missing, or not what it should be.
    """
    new = text(fields, "target_new", "labels")
    return fields_of(
        text(fields, "subject", "concept"),
        text(fields, "prompt", "text"),
        new,
        previous=fields.get("ground_truth"),
        paraphrased=paraphrases(fields.get("rephrase"), list(_followed(fields.get("portability"), new))),
        beside=neighbours(
            neighbour(each["prompt"], each.get("ground_truth")) for each in asked(fields.get("locality"))
        ),
        name=fields.get("case_id", fields.get("id")),
    )


def _neighbour(question: Mapping[str, Any]) -> dict[str, Any] | None:
    return neighbour(question["prompt"], question.get("ground_truth"))


def _followed(portability: object, new: str) -> Iterator[str]:
    """Prompts that the new object answers too; the others ask for what follows from it."""
    for each in asked(portability):
        if new.casefold() in (answer.casefold() for answer in texts(each.get("ground_truth"))):
            yield from texts(each["prompt"])

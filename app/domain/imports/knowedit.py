"""KnowEdit: wiki_recent, wiki_counterfact and ZsRE, whose locality and portability are groups of questions; WikiBio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.imports.extras import asked, fields_of, neighbour, neighbours, paraphrases, texts
from app.domain.imports.records import Unusable, text
from app.domain.imports.ripples import RippleKind, RippleOrNot, ripple

PORTABILITY = {
    "Reasoning": RippleKind.MULTI_HOP,
    "Logical_Generalization": RippleKind.LOGICAL_GENERALISATION,
    "Subject_Aliasing": RippleKind.SUBJECT_ALIASING,
}
"""Groups of questions by name."""


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


def ripples(fields: Mapping[str, Any]) -> Iterator[RippleOrNot]:
    """What of the portability has another answer than the object: it follows from the fact."""
    new, groups = text(fields, "target_new", "labels"), fields.get("portability")
    for name, group in groups.items() if isinstance(groups, Mapping) else ():
        for number, each in enumerate(asked(group)):
            place = f"portability.{name}.{number}"
            if name not in PORTABILITY:
                yield Unusable("unknown_kind", f"it is not known what {name} asks for", place, each["prompt"])
            elif not _says(each, new):
                yield from ripple(PORTABILITY[name], [(place, each["prompt"], each.get("ground_truth"))])


def _followed(portability: object, new: str) -> Iterator[str]:
    """Prompts that the new object answers too; the others ask for what follows from it."""
    for each in asked(portability):
        if _says(each, new):
            yield from texts(each["prompt"])


def _says(question: Mapping[str, Any], new: str) -> bool:
    return new.casefold() in (answer.casefold() for answer in texts(question.get("ground_truth")))

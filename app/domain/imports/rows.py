"""Rows of a table: a fact each, by the names of their columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.domain.imports.extras import fields_of, neighbour, neighbours, paraphrases
from app.domain.imports.records import MISSING, Unusable, text

PROMPT = ("prompt", "question", "src")
OBJECT = ("object", "target_new", "new_object", "answer", "alt")
PREVIOUS = ("previous", "ground_truth", "target_true", "old_object")
PARAPHRASES = ("paraphrase", "rephrase")
NEIGHBOURS = ("neighbour", "neighbor", "locality_prompt", "loc_prompt")
EXPECTED = ("expected", "locality_ground_truth", "loc_ans")


def fact(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fact of a row. Columns whose names begin with ``paraphrase`` and ``neighbour`` may come more than once.

    Raises:
        Unusable: a cell that is needed is empty, or its column is not there.
    """
    subject, new = text(fields, "subject"), text(fields, *_named(fields, OBJECT))
    made = fields_of(
        subject,
        next(_cells(fields, PROMPT), None),
        new,
        previous=next(_cells(fields, PREVIOUS), None),
        paraphrased=paraphrases(list(_cells(fields, PARAPHRASES, begins=True))),
        beside=neighbours(_beside(fields)),
        name=next(_cells(fields, ("id", "case_id")), None),
    )
    if "prompt" in made:
        return made
    if relation := next(_cells(fields, ("relation",)), None):
        return {**made, "relation": relation}
    raise Unusable(MISSING, "the row has neither prompt, question nor relation", "prompt")


def columns(names: Iterable[str]) -> bool:
    """Whether a table with these columns can hold facts."""
    there = ({"subject"}, set(OBJECT), {*PROMPT, "relation"})
    return all(not each.isdisjoint(names) for each in there)


def _named(fields: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    """The first of the names whose column is there, or all."""
    return next(((name,) for name in names if name in fields), names)


def _cells(fields: Mapping[str, Any], names: tuple[str, ...], *, begins: bool = False) -> Iterator[str]:
    """The cells with something in them of the columns with these names."""
    for name, cell in fields.items():
        if cell and (name.startswith(names) if begins else name in names):
            yield cell


def _beside(fields: Mapping[str, Any]) -> Iterator[dict[str, Any] | None]:
    """The neighbours; the n-th column of answers belongs to the n-th neighbour."""
    prompts = [cell for name, cell in fields.items() if name.startswith(NEIGHBOURS)]
    answers = [cell for name, cell in fields.items() if name.startswith(EXPECTED)]
    for index, prompt in enumerate(prompts):
        yield neighbour(prompt, answers[index] if index < len(answers) else None)

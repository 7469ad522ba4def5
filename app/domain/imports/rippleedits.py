"""RippleEdits (Cohen et al. 2024): a new fact as a whole sentence, and tests of what else must change or stay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.imports.extras import asked, fields_of, neighbour, neighbours, paraphrases, texts
from app.domain.imports.records import MISSING, Unusable, text
from app.domain.imports.ripple_sentences import Sentence, told
from app.domain.imports.ripples import Question, Ripple, RippleKind, RippleOrNot, question, ripple

CRITERIA = {
    "Logical_Generalization": RippleKind.LOGICAL_GENERALISATION,
    "Compositionality_I": RippleKind.COMPOSITIONALITY_I,
    "Compositionality_II": RippleKind.COMPOSITIONALITY_II,
    "Subject_Aliasing": RippleKind.SUBJECT_ALIASING,
    "Forgetfulness": RippleKind.PRESERVATION,
    "Relation_Specificity": RippleKind.RELATION_SPECIFICITY,
    "Relation_Specifity": RippleKind.RELATION_SPECIFICITY,
}
"""A record's lists of tests; the last name is how the data set's own page spells it."""

STAYS = ("Forgetfulness", "Relation_Specificity", "Relation_Specifity")
"""Lists whose answers the edit must leave as they are."""


def recognises(fields: Mapping[str, Any]) -> bool:
    """Whether a record has this form."""
    return isinstance(fields.get("edit"), Mapping) and not CRITERIA.keys().isdisjoint(fields)


def fact(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The edit; questions about aliases of its subject are paraphrases, what must stay is its neighbours.

    Raises:
        Unusable: a field is missing, or the sentence does not tell where its subject and its object are.
    """
    edit = fields.get("edit")
    if not isinstance(edit, Mapping):
        raise Unusable(MISSING, "the record has no edit", "edit")
    found = _sentence(edit, list(_queries(fields)))
    old = found.object_of(_before(edit))
    return fields_of(
        found.subject,
        found.template,
        found.object,
        previous=old,
        paraphrased=paraphrases([each["prompt"] for each in asked(_prompts(fields, "Subject_Aliasing"))]),
        beside=neighbours(
            neighbour(each["prompt"], _answers(each)) for name in STAYS for each in asked(_prompts(fields, name))
        ),
    )


def ripples(fields: Mapping[str, Any]) -> Iterator[RippleOrNot]:
    """Every test of every list, with the questions that the model must know the answers of before.

    Where the answer shall change, a condition that is the test's own question is left out: it would hold only for what
    is known already.
    """
    for name, kind in CRITERIA.items():
        for number, test in enumerate(_list(fields.get(name))):
            place = f"{name}.{number}"
            if isinstance(test, Mapping):
                yield from _test(test, kind, place, stays=name in STAYS)
            else:
                yield Unusable("invalid_request", "the test is no object", place, test)


def _test(test: Mapping[str, Any], kind: RippleKind, place: str, *, stays: bool) -> Iterator[RippleOrNot]:
    queries = [(f"{place}.test_queries.{number}", each) for number, each in enumerate(_list(test.get("test_queries")))]
    every = test.get("test_condition") == "AND"
    try:
        known = [_question(each, f"{place}.condition_queries") for each in _list(test.get("condition_queries"))]
    except Unusable as why:
        yield why
        return
    for found in ripple(kind, ((field, _prompt(each), _answers(each)) for field, each in queries), every=every):
        if isinstance(found, Ripple):
            others = [each for each in known if stays or each not in found.questions]
            yield Ripple(kind, found.questions, every, tuple(others))
        else:
            yield found


def _question(query: object, field: str) -> Question:
    return question(_prompt(query), _answers(query), field)


def _prompt(query: object) -> object:
    return query.get("prompt") if isinstance(query, Mapping) else None


def _answers(query: object) -> list[object]:
    """Labels of all answers and their aliases.

    Differs from the published code, which asks for every answer of several: one mother tongue of two is right.
    """
    given = _list(query.get("answers")) if isinstance(query, Mapping) else []
    return [each.get(part) for each in given if isinstance(each, Mapping) for part in ("value", "aliases")]


def _sentence(edit: Mapping[str, Any], queries: list[Mapping[str, Any]]) -> Sentence:
    """The edit's sentence, with what other questions of the record tell of its subject and its object."""
    subject, target = edit.get("subject_id"), edit.get("target_id")
    objects = {
        label
        for each in queries
        if each.get("query_type") == "regular" and each.get("target_ids") == [target]
        for label in texts(_answers(each))
    }
    about = [
        each["prompt"]
        for each in queries
        if subject is not None and each.get("subject_id") == subject and each.get("phrase") is None
    ]
    return told(text(edit, "prompt"), str(edit.get("relation")), _before(edit), objects, about)


def _before(edit: Mapping[str, Any]) -> str | None:
    """The sentence that held until now; the published files and their README name it differently."""
    old = edit.get("original_fact") or edit.get("previous_fact")
    return next(texts(old.get("prompt")), None) if isinstance(old, Mapping) else None


def _queries(fields: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All questions with a prompt, those of conditions too."""
    for name in CRITERIA:
        for each in asked(_prompts(fields, name)):
            if isinstance(each["prompt"], str):
                yield each


def _prompts(fields: Mapping[str, Any], name: str) -> list[object]:
    """The questions of a list's tests."""
    return [_list(test.get("test_queries")) for test in _list(fields.get(name)) if isinstance(test, Mapping)]


def _list(given: object) -> list[Any]:
    return given if isinstance(given, list) else []

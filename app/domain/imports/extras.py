"""Paraphrases and neighbours as data sets have them. What is null or blank among them is left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MOST = 20
"""So many paraphrases and neighbours a fact may have; of more, the first are taken."""


def texts(given: object) -> Iterator[str]:
    """The texts of a value that may be one, a list of some, lists of lists, or nothing."""
    match given:
        case str() if given.strip():
            yield given
        case int() | float() if not isinstance(given, bool):
            yield str(given)
        case list() | tuple():
            for each in given:
                yield from texts(each)


def paraphrases(*given: object) -> list[str]:
    """All texts, each once."""
    return list(dict.fromkeys(text for each in given for text in texts(each)))[:MOST]


def neighbour(prompt: object, expected: object) -> dict[str, Any] | None:
    """One neighbour, or None where the prompt is none."""
    found = next(texts(prompt), None)
    return None if found is None else {"prompt": found, "expected": list(texts(expected))}


def neighbours(given: Iterable[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """Those that are there, each prompt once."""
    once: dict[str, dict[str, Any]] = {}
    for each in given:
        if each is not None:
            once.setdefault(each["prompt"], each)
    return list(once.values())[:MOST]


def paired(prompts: object, expected: object) -> Iterator[dict[str, Any] | None]:
    """Neighbours of prompts and answers, which are both texts, or lists of the same length."""
    if isinstance(prompts, list) and isinstance(expected, list) and len(prompts) == len(expected):
        yield from map(neighbour, prompts, expected)
    else:
        yield from (neighbour(prompt, expected) for prompt in texts(prompts))


def asked(groups: object) -> Iterator[Mapping[str, Any]]:
    """The questions in groups of them: ``{"Relation_Specificity": [{"prompt", "ground_truth"}, ...], ...}``."""
    match groups:
        case Mapping() if "prompt" in groups:
            yield groups
        case Mapping():
            for group in groups.values():
                yield from asked(group)
        case list() | tuple():
            for item in groups:
                yield from asked(item)


def fields_of(
    subject: str,
    prompt: str | None,
    new: str,
    *,
    previous: object = None,
    paraphrased: Iterable[str] = (),
    beside: Iterable[dict[str, Any]] = (),
    name: object = None,
) -> dict[str, Any]:
    """A fact's fields, as ``Fact`` takes them."""
    found = {
        "subject": subject,
        "prompt": prompt,
        "object": new,
        "previous": next(texts(previous), None),
        "paraphrases": list(paraphrased),
        "neighbours": list(beside),
        "id": next(texts(name), None),
    }
    return {field: value for field, value in found.items() if value not in (None, [])}

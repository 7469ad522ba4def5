"""Errors as problem details (RFC 9457) and back: the form in which they cross HTTP and the queue."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from http import HTTPStatus
from itertools import islice

from app.domain.contract import Problem
from app.domain.errors import Conflict, EditError, NotFound, RequestError, Unavailable

LONGEST_TEXT = 200
MOST_ITEMS = 8
DEEPEST = 3
LARGEST_INTEGER = 2**53
"""From here on readers of JSON that keep numbers as doubles would see another one."""


def problem_of(error: EditError) -> Problem:
    """The error as a caller sees it; its value shortened and fit for JSON."""
    return Problem(
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        code=error.code,
        detail=printable(error.detail),
        field=None if error.field is None else printable(error.field),
        value=json_safe(error.value),
    )


def error_of(problem: Problem) -> EditError:
    """The error that a worker reported, rebuilt by its code; a strange one joins the nearest branch."""
    for kind in error_classes():
        if (kind.code, kind.status) == (problem.code, problem.status):
            break
    else:
        kind = _BRANCHES.get(problem.status, EditError)
    return kind(problem.detail, field=problem.field, value=problem.value)


def error_classes(root: type[EditError] = EditError) -> Iterator[type[EditError]]:
    """Every class of the error tree, the root first."""
    yield root
    for child in root.__subclasses__():
        yield from error_classes(child)


def json_safe(value: object, depth: int = DEEPEST) -> object:
    """Any value, shortened to what a person needs to recognise it, in types that JSON has.

    NaN and infinities become text, lone surrogates are escaped, long texts and containers are cut.
    """
    match value:
        case str() | bytes():
            return _scalar(value)
        case Mapping() | Sequence() | Set() if depth == 0:
            return "…"
        case Mapping():
            items = islice(value.items(), MOST_ITEMS)
            return {shortened(str(key)): json_safe(item, depth - 1) for key, item in items}
        case Sequence() | Set():
            return [json_safe(item, depth - 1) for item in islice(value, MOST_ITEMS)]
        case _:
            return _scalar(value)


def _scalar(value: object) -> object:
    match value:
        case None | bool():
            return value
        case int() if abs(value) < LARGEST_INTEGER:
            return value
        case float() if math.isfinite(value):
            return value
        case bytes():
            return shortened(value.decode(errors="backslashreplace"))
        case _:
            return shortened(str(value))


def shortened(text: str) -> str:
    """At most ``LONGEST_TEXT`` characters of the text, cut with an ellipsis."""
    return printable(text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…")


def printable(text: str) -> str:
    """The text with lone surrogates escaped, so that it can be sent as UTF-8."""
    return text.encode(errors="backslashreplace").decode()


_BRANCHES: Mapping[int, type[EditError]] = {
    404: NotFound,
    409: Conflict,
    422: RequestError,
    503: Unavailable,
}

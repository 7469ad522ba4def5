"""Errors as problem details (RFC 9457) and back: the form in which they cross HTTP and the queue."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from http import HTTPStatus
from itertools import islice
from typing import Any

from pydantic import Field

from app.domain.contract import Problem, Reply
from app.domain.errors import Conflict, NotFound, PalimpsestError, RequestError, Unauthenticated, Unavailable

MEDIA_TYPE = "application/problem+json"
LONGEST_TEXT = 200
MOST_ITEMS = 8
MOST_ERRORS = 20
"""Of one request that are told; of the others, only how many they are."""
DEEPEST = 3
LARGEST_INTEGER = 2**53
"""From here on a reader of JSON that uses doubles would get another number; such numbers are sent as text."""
EXCERPT = 30
"""Characters shown of a body that is not JSON, before and after the fault."""


class FieldError(Reply):
    """One thing that is wrong with a request."""

    field: str | None
    code: str
    detail: str
    value: Any = None


class ValidationProblem(Problem):
    """A request that does not have the right form: the first error, and a list of those found first."""

    errors: tuple[FieldError, ...] = Field(description=f"At most {MOST_ERRORS}.")
    errors_total: int = Field(description="How many there are, those that are left out among them.")


def problem_of(error: PalimpsestError) -> Problem:
    """The error as a caller sees it; its value shortened and fit for JSON."""
    return Problem(
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        code=error.code,
        detail=printable(error.detail),
        field=None if error.field is None else printable(error.field),
        value=json_safe(error.value),
    )


def headers_of(error: PalimpsestError) -> dict[str, str]:
    """The headers that go with an error's problem: what to bring, or when to come back, if that helps."""
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="palimpsest"'}
    return {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}


def problem_of_status(status: int, detail: str, request: str) -> Problem:
    """What a web framework refuses by a status of its own, such as a path that is not there.

    request: its method and path.
    """
    codes = {HTTPStatus.NOT_FOUND: NotFound.code, HTTPStatus.BAD_REQUEST: RequestError.code}
    known = HTTPStatus(status)
    return Problem(
        title=known.phrase,
        status=known,
        code=codes.get(known, known.name.lower()),
        detail=printable(detail),
        value=shortened(request),
    )


def problem_of_validation(found: Sequence[Mapping[str, Any]], body: object) -> ValidationProblem:
    """A request that does not have the right form.

    Args:
        found: what pydantic finds wrong, each with a place that begins with the request's part (``body``, ``query``).
        body: as it came, if it could not be read as JSON.
    """
    causes = _causes(found)
    errors = tuple(_field_error(each, body) for each in causes[:MOST_ERRORS])
    first = problem_of(RequestError(errors[0].detail, field=errors[0].field, value=errors[0].value))
    return ValidationProblem(**first.model_dump(), errors=errors, errors_total=len(causes))


def _causes(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The errors less those that only follow from another one inside the same container, such as that it is short."""
    within = {each["loc"][:depth] for each in found for depth in range(len(each["loc"]))}
    return [each for each in found if each["loc"] not in within]


def _field_error(error: Mapping[str, Any], body: object) -> FieldError:
    code, place, value = error["type"], error["loc"], error["input"]
    detail = error["msg"].removeprefix("Value error, ")
    if code == "json_invalid" and isinstance(body, str):
        at = place[-1]
        detail = f"The body is not JSON: {error['ctx']['error']} at character {at}."
        place, value = (), body[max(0, at - EXCERPT) : at + EXCERPT]
    elif isinstance(value, bytes) and place == ("body",):
        detail = "The body has to be JSON, with Content-Type: application/json."
    elif code == "missing":
        value = None
    field = ".".join(str(part) for part in place[1:]) or None
    return FieldError(
        field=None if field is None else shortened(field),
        code=code,
        detail=printable(detail),
        value=json_safe(value),
    )


def error_of(problem: Problem) -> PalimpsestError:
    """The error that a worker reported, rebuilt by its code; if that is unknown, the base class of its status."""
    for kind in error_classes():
        if (kind.code, kind.status) == (problem.code, problem.status):
            break
    else:
        kind = _BRANCHES.get(problem.status, PalimpsestError)
    return kind(problem.detail, field=problem.field, value=problem.value)


def error_classes(root: type[PalimpsestError] = PalimpsestError) -> Iterator[type[PalimpsestError]]:
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


_BRANCHES: Mapping[int, type[PalimpsestError]] = {
    404: NotFound,
    409: Conflict,
    422: RequestError,
    503: Unavailable,
}

"""Every error that leaves the front end: ``application/problem+json`` with code and the value at fault."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from app.domain.contract import Problem, Reply
from app.domain.errors import EditError, ModelUnavailable, NotFound, RedisUnavailable, RequestError
from app.domain.problems import json_safe, printable, problem_of, shortened

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
EXCERPT = 30


class FieldError(Reply):
    """One thing that is wrong with a request."""

    field: str | None
    code: str
    detail: str
    value: Any = None


class ValidationProblem(Problem):
    """A request that does not have the right form: the first error, and the list of all."""

    errors: tuple[FieldError, ...]


def install(app: FastAPI) -> None:
    """Answer every error of the application with problem details."""
    for kind in (EditError, RequestValidationError, HTTPException, RedisError, httpx.HTTPError, Exception):
        app.add_exception_handler(kind, _answer)


def problems(*errors: type[EditError]) -> dict[int | str, dict[str, Any]]:
    """A route's ``responses=``: the errors that it can answer with, by status."""
    by_status: dict[int, list[type[EditError]]] = {}
    kinds: tuple[type[EditError], ...] = (RequestError, *errors, RedisUnavailable, EditError)
    for error in dict.fromkeys(kinds):
        by_status.setdefault(error.status, []).append(error)
    schema = Problem.model_json_schema()
    return {
        status: {
            "description": "\n\n".join(f"`{kind.code}`: {(kind.__doc__ or '').splitlines()[0]}" for kind in found),
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status, found in by_status.items()
    }


async def _answer(request: Request, error: Exception) -> Response:
    problem, headers = _described(request, error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("%s %s ended in %s: %s", request.method, request.url.path, problem.code, error)
    return Response(problem.model_dump_json(), problem.status, headers, MEDIA_TYPE)


def _described(request: Request, error: Exception) -> tuple[Problem, Mapping[str, str]]:
    """What to say about an error, and the headers that go with it."""
    match error:
        case RequestValidationError():
            return _misformed(error), {}
        case HTTPException() if not isinstance(error.__cause__, EditError):
            return _refused(request, error), error.headers or {}
    known = _in_the_tree(error)
    wait = known.retry_after
    return problem_of(known), {} if wait is None else {"Retry-After": str(wait)}


def _in_the_tree(error: Exception) -> EditError:
    match error:
        case EditError():
            return error
        case HTTPException(__cause__=EditError() as cause):
            return cause
        case RedisError():
            return RedisUnavailable("Redis does not answer, or refuses the command.")
        case httpx.HTTPError():
            return ModelUnavailable("A worker did not answer.")
        case _:
            return EditError("An error of the service itself; its log has the details.")


def _refused(request: Request, error: HTTPException) -> Problem:
    codes = {HTTPStatus.NOT_FOUND: NotFound.code, HTTPStatus.BAD_REQUEST: RequestError.code}
    status = HTTPStatus(error.status_code)
    return Problem(
        title=status.phrase,
        status=status,
        code=codes.get(status, status.name.lower()),
        detail=printable(str(error.detail)),
        value=shortened(f"{request.method} {request.url.path}"),
    )


def _misformed(error: RequestValidationError) -> ValidationProblem:
    found = error.errors()
    errors = tuple(_field_error(each, error.body) for each in found if not _repeated(each, found))
    first = problem_of(RequestError(errors[0].detail, field=errors[0].field, value=errors[0].value))
    return ValidationProblem(**first.model_dump(), errors=errors)


def _repeated(error: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a container is only said to be too short because what it holds is at fault."""
    place = error["loc"]
    return any(len(each["loc"]) > len(place) and each["loc"][: len(place)] == place for each in found)


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

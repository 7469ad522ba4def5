"""Every error that leaves the front end: ``application/problem+json`` with code and the value at fault."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from app import request_ids
from app.access.gate import path_of
from app.domain.contract import Problem
from app.domain.errors import (
    Forbidden,
    ModelUnavailable,
    PalimpsestError,
    RedisUnavailable,
    RequestError,
    TooManyRequests,
    Unauthenticated,
)
from app.domain.problems import (
    MEDIA_TYPE,
    ValidationProblem,
    headers_of,
    problem_of,
    problem_of_status,
    problem_of_validation,
)
from app.openai_errors import told

logger = logging.getLogger(__name__)


EXPECTED = (PalimpsestError, RequestValidationError, HTTPException, RedisError, httpx.HTTPError)
"""Errors that are answered; any other one is answered too, and then goes on, for its traceback to be logged."""


PROBLEM = {"$ref": "#/components/schemas/Problem"}
"""Jobs have errors, so it is among the components of the API's description."""


def install(app: FastAPI) -> None:
    """Answer every error of the application with problem details."""
    for kind in (*EXPECTED, Exception):
        app.add_exception_handler(kind, _answer)


def problems(*errors: type[PalimpsestError]) -> dict[int | str, dict[str, Any]]:
    """A route's ``responses=``: the errors that it can answer with, by status."""
    by_status: dict[int, list[type[PalimpsestError]]] = {}
    common = (Unauthenticated, Forbidden, TooManyRequests, RedisUnavailable, PalimpsestError)
    kinds: tuple[type[PalimpsestError], ...] = (RequestError, *errors, *common)
    for error in dict.fromkeys(kinds):
        by_status.setdefault(error.status, []).append(error)
    of_requests = {**schema_of(ValidationProblem), "required": schema_of(Problem)["required"]}
    return {
        status: {
            "description": "\n\n".join(f"`{kind.code}`: {(kind.__doc__ or '').splitlines()[0]}" for kind in found),
            "content": {MEDIA_TYPE: {"schema": of_requests if status == RequestError.status else PROBLEM}},
        }
        for status, found in by_status.items()
    }


def schema_of(answer: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of what is answered, in one piece: references in it would lead elsewhere."""
    whole = answer.model_json_schema(mode="serialization")
    parts = whole.pop("$defs", {})

    def inlined(part: Any) -> Any:
        match part:
            case {"$ref": str(place)}:
                return inlined(parts[place.rpartition("/")[2]])
            case dict():
                return {name: inlined(each) for name, each in part.items()}
            case list():
                return [inlined(each) for each in part]
        return part

    found: dict[str, Any] = inlined(whole)
    return found


async def _answer(request: Request, error: Exception) -> Response:
    problem, headers = _described(request, error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:  # of the service's own making
        logger.warning("%s %s ended in %s: %s", request.method, request.url.path, problem.code, error)
    problem = told(problem, path_of(request.scope))
    headers = {**headers, **request_ids.headers_of(request, problem.status)}
    return Response(problem.model_dump_json(), problem.status, headers, MEDIA_TYPE)


def _described(request: Request, error: Exception) -> tuple[Problem, Mapping[str, str]]:
    """What to say about an error, and the headers that go with it."""
    match error:
        case RequestValidationError():
            return problem_of_validation(error.errors(), error.body), {}
        case HTTPException(status_code=HTTPStatus.BAD_REQUEST):
            return problem_of(RequestError("The body cannot be read: JSON in UTF-8 is wanted.")), {}
        case HTTPException() if not isinstance(error.__cause__, PalimpsestError):
            asked = f"{request.method} {request.url.path}"
            return problem_of_status(error.status_code, str(error.detail), asked), error.headers or {}
    known = _in_the_tree(error)
    return problem_of(known), headers_of(known)


def _in_the_tree(error: Exception) -> PalimpsestError:
    match error:
        case PalimpsestError():
            return error
        case HTTPException(__cause__=PalimpsestError() as cause):
            return cause
        case RedisError():
            return RedisUnavailable("Redis does not answer, or refuses the command.")
        case httpx.HTTPError():
            return ModelUnavailable("A worker did not answer.")
        case _:
            return PalimpsestError("An error of the service itself; its log has the details.")

"""Every error that leaves the front end: ``application/problem+json`` with code and the value at fault."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from app import request_ids
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
from app.domain.problems import MEDIA_TYPE, headers_of, problem_of, problem_of_status, problem_of_validation

logger = logging.getLogger(__name__)


EXPECTED = (PalimpsestError, RequestValidationError, HTTPException, RedisError, httpx.HTTPError)
"""Errors that are answered; any other one is answered too, and then goes on, for its traceback to be logged."""


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
    schema = Problem.model_json_schema()
    return {
        status: {
            "description": "\n\n".join(f"`{kind.code}`: {(kind.__doc__ or '').splitlines()[0]}" for kind in found),
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status, found in by_status.items()
    }


async def _answer(request: Request, error: Exception) -> Response:
    problem, headers = described(request, error)
    headers = {**headers, **request_ids.headers_of(request, problem.status)}
    return Response(problem.model_dump_json(), problem.status, headers, MEDIA_TYPE)


def described(request: Request, error: Exception) -> tuple[Problem, Mapping[str, str]]:
    """What to say about an error, and the headers that go with it; the service's own ones are logged."""
    problem, headers = _described(request, error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("%s %s ended in %s: %s", request.method, request.url.path, problem.code, error)
    return problem, headers


def _described(request: Request, error: Exception) -> tuple[Problem, Mapping[str, str]]:
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

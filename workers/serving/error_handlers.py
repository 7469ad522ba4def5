"""Every error that leaves a worker over HTTP: problem details, in the same words as the front end's."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app.domain.contract import Problem
from app.domain.errors import PalimpsestError
from app.domain.problems import MEDIA_TYPE, headers_of, problem_of, problem_of_status, problem_of_validation


def install(server: FastAPI) -> None:
    """Answer every error of the application with problem details."""
    for kind in (PalimpsestError, RequestValidationError, HTTPException, Exception):
        server.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    problem, headers = _described(request, error)
    return Response(problem.model_dump_json(), problem.status, headers, MEDIA_TYPE)


def _described(request: Request, error: Exception) -> tuple[Problem, Mapping[str, str]]:
    """What to say about an error, and the headers that go with it."""
    match error:
        case RequestValidationError():
            return problem_of_validation(error.errors(), error.body), {}
        case HTTPException():
            asked = f"{request.method} {request.url.path}"
            return problem_of_status(error.status_code, str(error.detail), asked), error.headers or {}
        case PalimpsestError():
            return problem_of(error), headers_of(error)
        case _:  # the traceback goes to the worker's log: uvicorn writes it, and then closes the connection
            unforeseen = PalimpsestError("the worker failed for a reason that only its own log tells")
            return problem_of(unforeseen), {"Connection": "close"}  # so that no request comes on it meanwhile

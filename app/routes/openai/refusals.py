"""Errors below /v1: problem details as everywhere, and beside them the ``error`` that OpenAI's clients read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.domain.contract import Problem
from app.domain.errors import PalimpsestError
from app.domain.problems import MEDIA_TYPE
from app.error_handlers import EXPECTED, described, problems
from app.routes.openai.replies import OpenAIError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

BAD_REQUEST = HTTPStatus.BAD_REQUEST
TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}
ERROR_FIELDS = {"prompts.0": "prompt", "max_new_tokens": "max_tokens", "version": "model"}
"""Fields by which a worker names what stands under another name in OpenAI's requests."""


class RefusedProblem(Problem):
    """Problem details with OpenAI's ``error`` beside."""

    error: OpenAIError


def refused(problem: Problem) -> RefusedProblem:
    """The problem as it is answered below /v1. What is wrong with a request is 400 there, not 422."""
    if problem.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        problem = problem.model_copy(update={"status": int(BAD_REQUEST), "title": BAD_REQUEST.phrase})
    field = problem.field
    if field is not None:
        field = ERROR_FIELDS.get(field, field.replace("prompts.", "prompt.", 1))
    server = problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    kind = TYPES.get(HTTPStatus(problem.status), "server_error" if server else "invalid_request_error")
    error = OpenAIError(message=problem.detail, type=kind, param=field, code=problem.code)
    return RefusedProblem(**{**problem.model_dump(), "field": field}, error=error)


def refusals(*errors: type[PalimpsestError]) -> dict[int | str, dict[str, Any]]:
    """A route's ``responses=``: as ``problems`` has them, in the form that they have below /v1."""
    content = {MEDIA_TYPE: {"schema": RefusedProblem.model_json_schema()}}
    found = {status: {**response, "content": content} for status, response in problems(*errors).items()}
    found[int(BAD_REQUEST)] = found.pop(int(HTTPStatus.UNPROCESSABLE_ENTITY))
    return {**found, "default": {"description": "Any other error.", "content": content}}


class OpenAIRoute(APIRoute):
    """A route whose errors OpenAI's clients can read."""

    def get_route_handler(self) -> Handler:
        """The route's own handler, and around it what makes answers of errors."""
        handler = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handler(request)
            except EXPECTED as error:
                problem, headers = described(request, error)
                answer = refused(problem)
                return Response(answer.model_dump_json(), answer.status, dict(headers), MEDIA_TYPE)

        return handled

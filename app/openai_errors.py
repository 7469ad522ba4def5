"""Errors below /v1: problem details as everywhere, and beside them the ``error`` that OpenAI's clients read."""

from __future__ import annotations

from http import HTTPStatus

from app.domain.contract import Problem, Reply

BELOW = "/v1/"
BAD_REQUEST = HTTPStatus.BAD_REQUEST
TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}
FIELDS = {"prompts.0": "prompt", "max_new_tokens": "max_tokens", "version": "model"}
"""Fields by which a worker names what stands under another name in OpenAI's requests."""


class OpenAIError(Reply):
    """An error as OpenAI's clients read it, beside the problem's own members."""

    message: str
    type: str
    param: str | None
    code: str


class RefusedProblem(Problem):
    """Problem details with OpenAI's ``error`` beside."""

    error: OpenAIError


def told(problem: Problem, path: str) -> Problem:
    """The problem as it is answered at a path."""
    return refused(problem) if path.startswith(BELOW) else problem


def refused(problem: Problem) -> RefusedProblem:
    """The problem as it is answered below /v1. What is wrong with a request is 400 there, not 422."""
    if problem.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        problem = problem.model_copy(update={"status": int(BAD_REQUEST), "title": BAD_REQUEST.phrase})
    field = problem.field
    if field is not None:
        field = FIELDS.get(field, field.replace("prompts.", "prompt.", 1))
    server = problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    kind = TYPES.get(HTTPStatus(problem.status), "server_error" if server else "invalid_request_error")
    error = OpenAIError(message=problem.detail, type=kind, param=field, code=problem.code)
    return RefusedProblem(**{**problem.model_dump(), "field": field}, error=error)

"""The errors that a route below /v1 can answer with, for its description."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from app.domain.errors import PalimpsestError
from app.domain.problems import MEDIA_TYPE
from app.error_handlers import problems, schema_of
from app.openai_errors import BAD_REQUEST, RefusedProblem


def refusals(*errors: type[PalimpsestError]) -> dict[int | str, dict[str, Any]]:
    """A route's ``responses=``: as ``problems`` has them, in the form that they have below /v1."""
    content = {MEDIA_TYPE: {"schema": schema_of(RefusedProblem)}}
    found = {status: {**response, "content": content} for status, response in problems(*errors).items()}
    found[int(BAD_REQUEST)] = found.pop(int(HTTPStatus.UNPROCESSABLE_ENTITY))
    return {**found, "default": {"description": "Any other error.", "content": content}}

"""Free text from the live model."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Response

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import FleetDep
from app.domain.contract import Generate, GenerateReply
from app.domain.errors import (
    BodyTooLarge,
    ModelUnavailable,
    PromptTooLong,
    Unavailable,
    UnknownModel,
    VersionNotReached,
)
from app.domain.worker_http import VERSION_HEADER
from app.error_handlers import problems
from app.routes import examples

router = APIRouter(tags=["questions"], dependencies=[requires(Scope.QUERY)])


@router.post(
    "/generate",
    responses=problems(BodyTooLarge, ModelUnavailable, PromptTooLong, Unavailable, UnknownModel, VersionNotReached),
)
def generate(
    request: Annotated[Generate, Body(openapi_examples=examples.GENERATIONS)], fleet: FleetDep, response: Response
) -> GenerateReply:
    """Continue prompts; ``X-Model-Version`` and the body say which version wrote."""
    reply = fleet.generate(fleet.resolve(request.model), request)
    response.headers[VERSION_HEADER] = str(reply.version)
    return reply

"""Free text from the live model, an earlier version or a proposal."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Response

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import FleetDep, LogsDep
from app.domain.contract import Generate, GenerateReply
from app.domain.worker_http import VERSION_HEADER
from app.error_handlers import problems
from app.routes import examples
from app.routes.asking import REFUSED, asked_of

router = APIRouter(tags=["questions"], dependencies=[requires(Scope.QUERY)])


@router.post("/generate", responses=problems(*REFUSED))
def generate(
    request: Annotated[Generate, Body(openapi_examples=examples.GENERATIONS)],
    fleet: FleetDep,
    logs: LogsDep,
    response: Response,
) -> GenerateReply:
    """Continue prompts; ``X-Model-Version`` and the body say which version wrote."""
    model, version = asked_of(fleet, logs, request.model, request.version)
    reply = fleet.generate(model, request.model_copy(update={"version": version}))
    response.headers[VERSION_HEADER] = str(reply.version)
    return reply

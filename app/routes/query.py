"""Questions for the live model and earlier versions: probes with expected objects, and the facts of an edit."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Response

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import FleetDep, JobsDep
from app.domain.contract import Query, QueryReply
from app.domain.errors import (
    BodyTooLarge,
    CompactedVersion,
    Conflict,
    DamagedVersion,
    ModelUnavailable,
    PromptTooLong,
    RequestError,
    Unavailable,
    UnknownJob,
    UnknownModel,
    UnknownProposal,
    UnknownVersion,
    VersionNotReached,
)
from app.domain.worker_http import VERSION_HEADER
from app.error_handlers import problems
from app.routes import examples

router = APIRouter(tags=["questions"], dependencies=[requires(Scope.QUERY)])


@router.post(
    "/query",
    responses=problems(
        BodyTooLarge,
        CompactedVersion,
        Conflict,
        DamagedVersion,
        ModelUnavailable,
        PromptTooLong,
        Unavailable,
        UnknownJob,
        UnknownModel,
        UnknownProposal,
        UnknownVersion,
        VersionNotReached,
    ),
)
def query(
    query: Annotated[Query, Body(openapi_examples=examples.QUERIES)],
    jobs: JobsDep,
    fleet: FleetDep,
    response: Response,
) -> QueryReply:
    """Ask the live model, an earlier version, or a proposal; ``X-Model-Version`` and the body say which answered."""
    reply = _recall(query, query.job, jobs, fleet) if query.job else fleet.probe(fleet.resolve(query.model), query)
    response.headers[VERSION_HEADER] = str(reply.version)
    return reply


def _recall(query: Query, job: str, jobs: JobsDep, fleet: FleetDep) -> QueryReply:
    model, manifest = jobs.committed(job)
    if query.model not in (None, model):
        raise RequestError(f"Job {job} edited {model}.", field="model", value=query.model)
    least = max(query.min_version, manifest.version)  # an earlier version does not know the job's facts
    return fleet.recall(fleet.resolve(model), manifest.facts, query.model_copy(update={"min_version": least}))

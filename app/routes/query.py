"""Questions for the live model: probes with expected objects, and the facts of an earlier edit."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.dependencies import FleetDep, JobsDep
from app.domain.contract import Query, QueryReply
from app.domain.errors import (
    Conflict,
    ModelUnavailable,
    PromptTooLong,
    RequestError,
    Unavailable,
    UnknownJob,
    UnknownModel,
)
from app.error_handlers import problems
from app.routes.generate import VERSION_HEADER

router = APIRouter(tags=["questions"])


@router.post(
    "/query",
    responses=problems(Conflict, ModelUnavailable, PromptTooLong, Unavailable, UnknownJob, UnknownModel),
)
def query(query: Query, jobs: JobsDep, fleet: FleetDep, response: Response) -> QueryReply:
    """Ask the live model; ``X-Model-Version`` and the body say which version answered."""
    reply = _recall(query, query.job, jobs, fleet) if query.job else fleet.probe(fleet.resolve(query.model), query)
    response.headers[VERSION_HEADER] = str(reply.version)
    return reply


def _recall(query: Query, job: str, jobs: JobsDep, fleet: FleetDep) -> QueryReply:
    model, manifest = jobs.committed(job)
    if query.model not in (None, model):
        raise RequestError(f"Job {job} edited {model}.", field="model", value=query.model)
    return fleet.recall(fleet.resolve(model), manifest.facts)

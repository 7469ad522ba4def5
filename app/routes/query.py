"""Questions for the live model and earlier versions: probes with expected objects, and the facts of an edit."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Response

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import FleetDep, JobsDep, LogsDep
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
    UnknownAlias,
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
        UnknownAlias,
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
    logs: LogsDep,
    response: Response,
) -> QueryReply:
    """Ask the live model, an earlier version, or a proposal; ``X-Model-Version`` and the body say which answered.

    An alias is looked up once, and the answer names the version that it pointed to.
    """
    if query.job:
        reply = _recall(query, query.job, jobs, fleet, logs)
    else:
        model = fleet.resolve(query.model)
        reply = fleet.probe(model, query.model_copy(update={"version": logs.pinned(model, query.version)}))
    response.headers[VERSION_HEADER] = str(reply.version)
    return reply


def _recall(query: Query, job: str, jobs: JobsDep, fleet: FleetDep, logs: LogsDep) -> QueryReply:
    model, manifest = jobs.committed(job)
    if query.model not in (None, model):
        raise RequestError(f"Job {job} edited {model}.", field="model", value=query.model)
    least = max(query.min_version, manifest.version)  # an earlier version does not know the job's facts
    asked = {"min_version": least, "version": logs.pinned(model, query.version)}
    return fleet.recall(fleet.resolve(model), manifest.facts, query.model_copy(update=asked))

"""Questions for the live model and earlier versions: probes with expected objects, and the facts of an edit."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Response

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import FleetDep, JobsDep, LogsDep
from app.domain.contract import Query, QueryReply
from app.domain.errors import Conflict, RequestError, UnknownJob
from app.domain.worker_http import VERSION_HEADER
from app.error_handlers import problems
from app.routes import examples
from app.routes.asking import REFUSED, asked_of

router = APIRouter(tags=["questions"], dependencies=[requires(Scope.QUERY)])


@router.post("/query", responses=problems(*REFUSED, Conflict, UnknownJob))
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
        model, version = asked_of(fleet, logs, query.model, query.version)
        reply = fleet.probe(model, query.model_copy(update={"version": version}))
    response.headers[VERSION_HEADER] = str(reply.version)
    return reply


def _recall(query: Query, job: str, jobs: JobsDep, fleet: FleetDep, logs: LogsDep) -> QueryReply:
    model, manifest = jobs.committed(job)
    if query.model not in (None, model):
        raise RequestError(f"Job {job} edited {model}.", field="model", value=query.model)
    least = max(query.min_version, manifest.version)  # an earlier version does not know the job's facts
    model, version = asked_of(fleet, logs, model, query.version)
    asked = query.model_copy(update={"min_version": least, "version": version})
    return fleet.recall(model, manifest.facts, asked)

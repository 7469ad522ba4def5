"""The worker's endpoints: questions for its model, checks, state, health, metrics."""

from __future__ import annotations

import asyncio
import time

from fastapi import APIRouter, Response, status

from app.domain import worker_http
from app.domain.contract import Between, EditBatch, Generate, Health, Query, UpdateNorms, WorkerCard
from app.domain.errors import RequestError, Unavailable, VersionNotReached
from workers.serving.dependencies import Held, Services, ServicesDep

VERSION_POLL_S = 0.02

router = APIRouter()


@router.post(worker_http.PROBE, response_model=None)
async def probe_prompts(query: Query, services: ServicesDep) -> Response:
    """Answer prompts from one version."""
    if not query.prompts:
        raise RequestError("a worker answers prompts, not jobs", field="job", value=query.job)
    return await _asked("probe", query, services)


@router.post(worker_http.GENERATE, response_model=None)
async def generate_freely(request: Generate, services: ServicesDep) -> Response:
    """Continue prompts from one version."""
    return await _asked("generate", request, services)


@router.post(worker_http.CHECK, status_code=status.HTTP_204_NO_CONTENT)
def check(batch: EditBatch, services: ServicesDep) -> None:
    """Say whether the batch could be edited."""
    with services.metrics.question("check"):
        services.host.check(batch)


@router.post(worker_http.NORMS)
def compare(between: Between, services: ServicesDep) -> UpdateNorms:
    """How far two versions' weights are apart."""
    with services.metrics.question("norms"):
        return UpdateNorms(norms=services.host.update_norms(between.old, between.new))


@router.get(worker_http.STATE)
def state(services: ServicesDep, response: Response) -> WorkerCard:
    """What this worker is and where it stands."""
    card = services.card()
    response.headers[worker_http.VERSION_HEADER] = str(card.version)
    return card


@router.get("/healthz")
async def healthz() -> Health:
    """The process answers, and its model is loaded; whatever else goes on, at once: the front end asks all the time."""
    return Health(status="ok")


@router.get("/readyz")
def readyz(services: ServicesDep) -> Health:
    """The model is at a version, and the edit log that it follows can be looked at.

    Raises:
        Unavailable: the log cannot be looked at.
    """
    card = services.card()
    if card.behind is None:
        raise Unavailable("the edit log cannot be looked at")
    return Health(status="ok", detail=f"version {card.version}")


@router.get("/metrics")
def exposition(services: ServicesDep) -> Response:
    """Prometheus' text format."""
    return Response(services.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _asked(kind: str, request: Query | Generate, services: Services) -> Response:
    """The model's answer to a question, and the version that gave it."""
    with services.metrics.question(kind):
        await _reached(services.host, request)
        reply = await asyncio.wrap_future(services.batches.ask(request))
    headers = {worker_http.VERSION_HEADER: str(reply.version)}
    return Response(reply.model_dump_json(), headers=headers, media_type="application/json")


async def _reached(host: Held, request: Query | Generate) -> None:
    """Wait until the version that the request wants is in service, as long as the request allows.

    Raises:
        VersionNotReached: it did not come in time.
    """
    deadline = time.monotonic() + request.wait_seconds
    while host.version < request.min_version:
        if time.monotonic() >= deadline:
            detail = f"version {request.min_version} was not in service after {request.wait_seconds:g} s"
            raise VersionNotReached(f"{detail}; it is {host.version}", field="min_version", value=request.min_version)
        await asyncio.sleep(VERSION_POLL_S)

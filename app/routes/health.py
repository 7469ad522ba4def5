"""Liveness, readiness and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import FleetDep, MetricsDep
from app.domain.contract import Health
from app.domain.errors import ModelUnavailable
from app.error_handlers import problems

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthy() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/readyz", responses=problems(ModelUnavailable))
def ready(fleet: FleetDep) -> Health:
    """Redis answers and a worker is live."""
    workers = fleet.workers()
    if not workers:
        raise ModelUnavailable("No worker is live.")
    return Health(status="ok", detail=f"live workers: {len(workers)}")  # no names: anybody may ask


@router.get(
    "/metrics",
    dependencies=[requires(Scope.QUERY, all_models=True)],
    response_class=Response,
    responses={200: {"content": {CONTENT_TYPE_LATEST: {}}}, **problems()},
)
def metrics(metrics: MetricsDep) -> Response:
    """Requests, queues and workers, for Prometheus."""
    return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

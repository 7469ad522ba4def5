"""The worker's own HTTP.

No access control: it is for the front end, on the loopback interface or a private network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from app.domain.contract import WorkerCard
from app.domain.tracing import Tracing
from workers.questions.batches import QuestionBatches
from workers.serving import error_handlers, routes
from workers.serving.came_from import CameFrom
from workers.serving.dependencies import Held, Services
from workers.serving.metrics import Metrics


def create_server(
    host: Held,
    card: Callable[[], WorkerCard],
    metrics: Metrics,
    batches: QuestionBatches,
    traces: Tracing = Tracing(),  # noqa: B008 - frozen
) -> FastAPI:
    """The worker's application."""
    telemetry = cast("TelemetryConfig", traces.of_requests)
    server = FastAPI(title="palimpsest worker", openapi_url=None, telemetry=telemetry)
    server.state.services = Services(host, card, metrics, batches)
    server.add_middleware(CameFrom)
    error_handlers.install(server)
    server.include_router(routes.router)
    return server

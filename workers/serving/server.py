"""The worker's own HTTP.

It is for the front end, which brings the secret that both share; without one it is on the loopback interface alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from pydantic import SecretStr

from app.domain.contract import WorkerCard
from app.domain.tracing import Tracing
from workers.questions.batches import QuestionBatches
from workers.serving import error_handlers, routes, texts
from workers.serving.came_from import CameFrom
from workers.serving.dependencies import Held, Services
from workers.serving.metrics import Metrics
from workers.serving.secret import SharedSecret


def create_server(
    host: Held,
    card: Callable[[], WorkerCard],
    metrics: Metrics,
    batches: QuestionBatches,
    secret: SecretStr | None = None,
    traces: Tracing = Tracing(),  # noqa: B008 - frozen
) -> FastAPI:
    """The worker's application; it answers whoever brings the secret, or everybody if there is none."""
    telemetry = cast("TelemetryConfig", traces.of_requests)
    server = FastAPI(title="palimpsest worker", openapi_url=None, telemetry=telemetry)
    server.add_middleware(SharedSecret, secret=secret)
    server.state.services = Services(host, card, metrics, batches)
    server.add_middleware(CameFrom)
    error_handlers.install(server)
    server.include_router(routes.router)
    server.include_router(texts.router)
    return server

"""The worker's own HTTP.

No access control: it is for the front end, on the loopback interface or a private network.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI

from app.domain.contract import WorkerCard
from workers.questions.batches import QuestionBatches
from workers.serving import error_handlers, routes
from workers.serving.dependencies import Held, Services
from workers.serving.metrics import Metrics
from workers.serving.request_ids import RequestIds


def create_server(host: Held, card: Callable[[], WorkerCard], metrics: Metrics, batches: QuestionBatches) -> FastAPI:
    """The worker's application."""
    server = FastAPI(title="palimpsest worker", openapi_url=None)
    server.state.services = Services(host, card, metrics, batches)
    error_handlers.install(server)
    server.add_middleware(RequestIds)
    server.include_router(routes.router)
    return server

"""The front end's application: routes, error handlers, and the connections that live as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from importlib.metadata import version
from typing import TypedDict, cast

import httpx
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app import error_handlers
from app.body_limit import BodyLimit
from app.dependencies import Services
from app.domain.logging_setup import set_up_logging
from app.domain.origin import handed_on
from app.domain.settings import warn_of_unknown_variables
from app.domain.tracing import Tracing, tracing
from app.edit_logs import EditLogs
from app.fleet import Fleet
from app.jobs.acceptance import Acceptance
from app.jobs.idempotency import IdempotencyKeys
from app.jobs.jobs import Jobs
from app.jobs.journal import AcceptedJournal
from app.jobs.recovery import Recovery
from app.metrics import Metrics, RequestMetrics
from app.roster import Roster
from app.routes import edits, exports, generate, health, jobs, models, query, taking_back, versions
from app.service_metrics import ServiceMetrics
from app.settings import Settings
from app.signs_of_life import SignsOfLife

SCRAPE_TIMEOUT_S = 1.0
"""Longest wait of a scrape for one answer of Redis."""
SPARE_THREADS = 40
"""Threads for requests that need no worker, beside the ``max_questions`` that may wait for one."""


class State(TypedDict):
    """What the lifespan gives to every request."""

    services: Services


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; it opens its connections when it starts and closes them when it ends. Sets up logging.

    Raises:
        ValueError: no Redis server is named.
        pydantic.ValidationError: a setting in the environment is invalid.
    """
    settings = settings or Settings()
    if (redis_url := settings.redis_url) is None:
        raise ValueError("PALIMPSEST_REDIS_URL is not set, and the front end brings no Redis server of its own")
    set_up_logging(settings.log_level, settings.log_form)
    warn_of_unknown_variables(Settings)
    metrics, traces = Metrics(), tracing("palimpsest-front-end", wanted=settings.tracing)

    def lifespan(_: FastAPI) -> AbstractAsyncContextManager[State]:
        return _connected(redis_url, settings, metrics, traces)

    app = FastAPI(
        title="Palimpsest",
        summary="Rewrites facts inside the weights of a language model, version by version.",
        version=version("palimpsest"),
        lifespan=lifespan,
        telemetry=cast("TelemetryConfig", traces.of_requests),
    )
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(RequestMetrics, metrics=metrics)
    error_handlers.install(app)
    for routes in (edits, jobs, query, generate, models, versions, taking_back, exports, health):
        app.include_router(routes.router)
    return app


@asynccontextmanager
async def _connected(redis_url: str, settings: Settings, metrics: Metrics, traces: Tracing) -> AsyncIterator[State]:
    current_default_thread_limiter().total_tokens = settings.max_questions + SPARE_THREADS
    logs = EditLogs(settings.log_dir)
    with (
        closing(traces),
        _redis(redis_url, settings, settings.redis_timeout_s) as redis,
        _redis(redis_url, settings, min(SCRAPE_TIMEOUT_S, settings.redis_timeout_s)) as scraped,
        SignsOfLife(Roster(scraped), settings.silence_s) as signs,
        _http(settings, signs) as http,
        metrics.with_those_of(ServiceMetrics(scraped, AcceptedJournal(settings.accepted_dir).models)),
    ):
        fleet = Fleet(redis, http, logs, settings)
        jobs = Jobs(redis, logs, settings)
        acceptance = Acceptance(jobs, fleet, logs, IdempotencyKeys(redis, settings), settings)
        with Recovery(jobs, settings.recovery_interval_s):
            yield {"services": Services(metrics, logs, jobs, fleet, acceptance)}


def _redis(url: str, settings: Settings, timeout_s: float) -> Redis:
    """A client that sends no command twice: a submission must not be repeated by the connection."""
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=min(timeout_s, settings.connect_timeout_s),
        retry=Retry(NoBackoff(), 0),
    )


def _http(settings: Settings, signs: SignsOfLife) -> httpx.Client:
    timeout = httpx.Timeout(settings.question_timeout_s, connect=settings.connect_timeout_s)
    limits = httpx.Limits(max_connections=settings.max_questions)
    hooks = {"request": [signs.admit, _tell_origin]}
    return httpx.Client(timeout=timeout, limits=limits, event_hooks=hooks, trust_env=False)


def _tell_origin(request: httpx.Request) -> None:
    request.headers.update(handed_on())

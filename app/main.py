"""The front end's application: routes, error handlers, and the connections that live as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import TypedDict

import httpx
from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app import error_handlers
from app.body_limit import BodyLimit
from app.dependencies import Services, within_rate
from app.domain.logging_setup import set_up_logging
from app.domain.settings import warn_of_unknown_variables
from app.edit_logs import EditLogs
from app.fleet import Fleet
from app.jobs.acceptance import Acceptance
from app.jobs.idempotency import IdempotencyKeys
from app.jobs.job_watch import JobWatch
from app.jobs.jobs import Jobs
from app.jobs.recovery import Recovery
from app.metrics import Metrics, RequestMetrics
from app.rate_limit import RateLimit
from app.request_ids import RequestIds, pass_on
from app.routes import edits, exports, generate, health, job_events, jobs, models, query, taking_back, versions
from app.settings import Settings

SPARE_THREADS = 40
"""Threads for requests that need no worker, beside the ``max_questions`` that may wait for one."""

SPARE_CONNECTIONS = 8
"""Connections to Redis beside one for each of these threads: redis-py refuses a command that finds none free."""


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
    set_up_logging(settings.log_level)
    warn_of_unknown_variables(Settings)
    metrics = Metrics()

    def lifespan(_: FastAPI) -> AbstractAsyncContextManager[State]:
        return _connected(redis_url, settings, metrics)

    app = FastAPI(
        title="Palimpsest",
        summary="Rewrites facts inside the weights of a language model, version by version.",
        version=version("palimpsest"),
        lifespan=lifespan,
        dependencies=[Depends(within_rate)],
    )
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(RequestMetrics, metrics=metrics)
    app.add_middleware(RequestIds)
    error_handlers.install(app)
    for routes in (edits, jobs, job_events, query, generate, models, versions, taking_back, exports, health):
        app.include_router(routes.router)
    return app


@asynccontextmanager
async def _connected(redis_url: str, settings: Settings, metrics: Metrics) -> AsyncIterator[State]:
    current_default_thread_limiter().total_tokens = settings.max_questions + SPARE_THREADS
    logs = EditLogs(settings.log_dir)
    with _redis(redis_url, settings) as redis, _http(settings) as http:
        fleet = Fleet(redis, http, logs, settings)
        jobs = Jobs(redis, logs, settings)
        acceptance = Acceptance(jobs, fleet, logs, IdempotencyKeys(redis, settings), settings)
        rate = RateLimit(redis, settings.max_requests_per_minute)
        async with JobWatch(redis, jobs) as watch:
            with Recovery(jobs, settings.recovery_interval_s):
                yield {"services": Services(metrics, logs, jobs, watch, fleet, acceptance, rate)}


def _redis(url: str, settings: Settings) -> Redis:
    """A client that sends no command twice: a submission must not be repeated by the connection."""
    return Redis.from_url(
        url,
        socket_timeout=settings.redis_timeout_s,
        socket_connect_timeout=settings.connect_timeout_s,
        retry=Retry(NoBackoff(), 0),
        max_connections=settings.max_questions + SPARE_THREADS + SPARE_CONNECTIONS,
    )


def _http(settings: Settings) -> httpx.Client:
    timeout = httpx.Timeout(settings.question_timeout_s, connect=settings.connect_timeout_s)
    limits = httpx.Limits(max_connections=settings.max_questions)
    return httpx.Client(timeout=timeout, limits=limits, trust_env=False, event_hooks={"request": [pass_on]})

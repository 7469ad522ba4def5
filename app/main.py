"""The front end's application: routes, error handlers, and the connections that live as long as it does."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import TypedDict

import httpx
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app import error_handlers
from app.access.gate import Gate
from app.access.keyring import LiveKeys
from app.access.requires import refuse_undeclared
from app.additions.additions import Additions
from app.body_limit import BodyLimit
from app.dependencies import Services
from app.domain import worker_http
from app.domain.logging_setup import set_up_logging
from app.domain.settings import warn_of_unknown_variables
from app.edit_logs import EditLogs
from app.fleet import Fleet
from app.jobs.acceptance import Acceptance
from app.jobs.idempotency import IdempotencyKeys
from app.jobs.importing import Importing
from app.jobs.job_watch import JobWatch
from app.jobs.jobs import Jobs
from app.jobs.recovery import Recovery
from app.metrics import Metrics, RequestMetrics
from app.routes import (
    edits,
    exports,
    generate,
    health,
    imports,
    job_events,
    jobs,
    models,
    openai,
    page,
    proposals,
    query,
    taking_back,
    versions,
)
from app.settings import Settings
from app.text_streams import TextStreams

logger = logging.getLogger(__name__)

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
        RuntimeError: a route does not say who may use it.
    """
    settings = settings or Settings()
    if (redis_url := settings.redis_url) is None:
        raise ValueError("PALIMPSEST_REDIS_URL is not set, and the front end brings no Redis server of its own")
    set_up_logging(settings.log_level)
    warn_of_unknown_variables(Settings)
    metrics, keys = Metrics(), LiveKeys(settings.keys_dir)

    def lifespan(_: FastAPI) -> AbstractAsyncContextManager[State]:
        return _connected(redis_url, settings, metrics, keys)

    app = FastAPI(
        title="Palimpsest",
        summary="Rewrites facts inside the weights of a language model, version by version.",
        version=version("palimpsest"),
        lifespan=lifespan,
    )
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(Gate, keys=keys, allow_open=settings.allow_open)  # before anything reads the request
    app.add_middleware(RequestMetrics, metrics=metrics)
    error_handlers.install(app)
    for routes in (
        edits,
        imports,
        jobs,
        job_events,
        query,
        generate,
        models,
        versions,
        taking_back,
        proposals,
        exports,
        health,
        openai,
        page,
    ):
        app.include_router(routes.router)
    refuse_undeclared(app)
    return app


@asynccontextmanager
async def _connected(redis_url: str, settings: Settings, metrics: Metrics, keys: LiveKeys) -> AsyncIterator[State]:
    await _tell_if_open(keys, settings)
    current_default_thread_limiter().total_tokens = settings.max_questions + SPARE_THREADS
    logs = EditLogs(settings.log_dir)
    async with _text_http(settings) as text_http:
        with _redis(redis_url, settings) as redis, _http(settings) as http:
            fleet = Fleet(redis, http, logs, settings)
            texts = TextStreams(fleet, text_http, settings.max_texts)
            jobs = Jobs(redis, logs, settings)
            repeats = IdempotencyKeys(redis, settings)
            acceptance = Acceptance(jobs, fleet, logs, repeats, settings)
            importing = Importing(acceptance, fleet, repeats, settings)
            additions = Additions(fleet, settings)
            async with JobWatch(redis, jobs) as watch:
                with Recovery(jobs, settings.recovery_interval_s):
                    yield {
                        "services": Services(metrics, logs, jobs, watch, fleet, acceptance, texts, additions, importing)
                    }


async def _tell_if_open(keys: LiveKeys, settings: Settings) -> None:
    """Say in the log who gets in, if that is not those who have a key.

    Raises:
        Unavailable: the keys cannot be read.
    """
    if not (await keys.now()).any:
        who = "whoever can reach it" if settings.allow_open else "programs on this machine alone"
        logger.warning("no API key exists, so the service answers %s; `palimpsest keys create NAME` makes one", who)


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
    headers = worker_http.credentials(settings.worker_secret)
    return httpx.Client(timeout=timeout, limits=limits, headers=headers, trust_env=False)


def _text_http(settings: Settings) -> httpx.AsyncClient:
    timeout = httpx.Timeout(settings.question_timeout_s, connect=settings.connect_timeout_s)
    limits = httpx.Limits(max_connections=settings.max_texts, max_keepalive_connections=settings.max_texts)
    headers = worker_http.credentials(settings.worker_secret)
    return httpx.AsyncClient(timeout=timeout, limits=limits, headers=headers, trust_env=False)

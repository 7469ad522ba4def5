"""The front end's application: routes, error handlers, and the connections that live as long as it does."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from importlib.metadata import version
from typing import TypedDict, cast

from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI
from fastapi.telemetry import TelemetryConfig

from app import error_handlers
from app.access.gate import Gate
from app.access.keyring import LiveKeys
from app.access.requires import refuse_undeclared
from app.additions.additions import Additions
from app.body_limit import BodyLimit
from app.clients import SPARE_THREADS, engine_client, redis_client, text_client, worker_client
from app.dependencies import Services, within_rate
from app.domain.logging_setup import set_up_logging
from app.domain.settings import warn_of_unknown_variables
from app.domain.tracing import Tracing, tracing
from app.edit_logs import EditLogs
from app.engine_fleet import EngineFleet
from app.fleet import Fleet
from app.jobs.acceptance import Acceptance
from app.jobs.idempotency import IdempotencyKeys
from app.jobs.importing import Importing
from app.jobs.job_watch import JobWatch
from app.jobs.jobs import Jobs
from app.jobs.journal import AcceptedJournal
from app.jobs.recovery import Recovery
from app.metrics import Metrics, RequestMetrics
from app.promotion import Promotion
from app.rate_limit import RateLimit
from app.request_ids import RequestIds
from app.roster import Roster
from app.routes import (
    aliases,
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
    serving,
    taking_back,
    versions,
)
from app.service_metrics import ServiceMetrics
from app.settings import Settings
from app.signs_of_life import SignsOfLife
from app.texts.pass_through import PassThrough
from app.texts.places import Places
from app.texts.text_streams import TextStreams

logger = logging.getLogger(__name__)

SCRAPE_TIMEOUT_S = 1.0
"""Longest wait of a scrape for one answer of Redis."""


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
    set_up_logging(settings.log_level, settings.log_form)
    warn_of_unknown_variables(Settings)
    metrics, keys = Metrics(), LiveKeys(settings.keys_dir)
    traces = tracing("palimpsest-front-end", wanted=settings.tracing)

    def lifespan(_: FastAPI) -> AbstractAsyncContextManager[State]:
        return _connected(redis_url, settings, metrics, keys, traces)

    app = FastAPI(
        title="Palimpsest",
        summary="Rewrites facts inside the weights of a language model, version by version.",
        version=version("palimpsest"),
        lifespan=lifespan,
        dependencies=[Depends(within_rate)],
        telemetry=cast("TelemetryConfig", traces.of_requests),
    )
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(Gate, keys=keys, allow_open=settings.allow_open)  # before anything reads the request
    app.add_middleware(RequestMetrics, metrics=metrics)
    app.add_middleware(RequestIds)
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
        aliases,
        serving,
        exports,
        health,
        openai,
        page,
    ):
        app.include_router(routes.router)
    refuse_undeclared(app)
    return app


@asynccontextmanager
async def _connected(
    redis_url: str, settings: Settings, metrics: Metrics, keys: LiveKeys, traces: Tracing
) -> AsyncIterator[State]:
    await _tell_if_open(keys, settings)
    current_default_thread_limiter().total_tokens = settings.max_questions + SPARE_THREADS
    logs = EditLogs(settings.log_dir)
    with (
        closing(traces),
        redis_client(redis_url, settings, settings.redis_timeout_s) as redis,
        redis_client(redis_url, settings, min(SCRAPE_TIMEOUT_S, settings.redis_timeout_s)) as scraped,
        SignsOfLife(Roster(scraped), settings.silence_s) as signs,
        worker_client(settings, signs) as http,
        metrics.with_those_of(ServiceMetrics(scraped, AcceptedJournal(settings.accepted_dir).models)),
    ):
        fleet = Fleet(redis, http, logs, settings)
        jobs = Jobs(redis, logs, settings)
        repeats = IdempotencyKeys(redis, settings)
        acceptance = Acceptance(jobs, fleet, logs, repeats, settings)
        importing = Importing(acceptance, fleet, repeats, settings)
        additions = Additions(fleet, settings)
        rate = RateLimit(redis, settings.max_requests_per_minute)
        engines, places = EngineFleet(redis), Places(settings.max_texts)
        promotion = Promotion(engines, settings.proven_share)
        async with (
            text_client(settings, signs) as text_http,
            engine_client(settings) as engine_http,
            JobWatch(redis, jobs) as watch,
        ):
            texts = TextStreams(fleet, text_http, places)
            passing = PassThrough(engine_http, places, settings.engine_patience_s) if settings.pass_through else None
            with Recovery(jobs, settings.recovery_interval_s):
                shared = (metrics, logs, jobs, watch, fleet, acceptance, texts, additions, importing, rate)
                yield {"services": Services(*shared, engines, promotion, passing)}


async def _tell_if_open(keys: LiveKeys, settings: Settings) -> None:
    """Say in the log who gets in, if that is not those who have a key.

    Raises:
        Unavailable: the keys cannot be read.
    """
    if not (await keys.now()).any:
        who = "whoever can reach it" if settings.allow_open else "programs on this machine alone"
        logger.warning("no API key exists, so the service answers %s; `palimpsest keys create NAME` makes one", who)

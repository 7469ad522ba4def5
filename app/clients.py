"""The front end's clients: of Redis, of the workers' HTTP, and of that of inference servers."""

from __future__ import annotations

import httpx
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.domain import worker_http
from app.domain.origin import handed_on
from app.settings import Settings
from app.signs_of_life import SignsOfLife

SPARE_THREADS = 40
"""Threads for requests that need no worker, beside the ``max_questions`` that may wait for one."""
SPARE_CONNECTIONS = 8
"""Connections to Redis beside one for each of these threads: redis-py refuses a command that finds none free."""


def redis_client(url: str, settings: Settings, timeout_s: float) -> Redis:
    """A client that sends no command twice: a submission must not be repeated by the connection."""
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=min(timeout_s, settings.connect_timeout_s),
        retry=Retry(NoBackoff(), 0),
        max_connections=settings.max_questions + SPARE_THREADS + SPARE_CONNECTIONS,
    )


def worker_client(settings: Settings, signs: SignsOfLife) -> httpx.Client:
    """For questions that a worker answers as a whole."""
    return httpx.Client(
        timeout=httpx.Timeout(settings.question_timeout_s, connect=settings.connect_timeout_s),
        limits=httpx.Limits(max_connections=settings.max_questions),
        event_hooks={"request": [signs.admit, _tell_origin]},
        headers=worker_http.credentials(settings.worker_secret),
        trust_env=False,
    )


def text_client(settings: Settings, signs: SignsOfLife) -> httpx.AsyncClient:
    """For texts that a worker tells while it writes them."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(settings.question_timeout_s, connect=settings.connect_timeout_s),
        limits=httpx.Limits(max_connections=settings.max_texts, max_keepalive_connections=settings.max_texts),
        event_hooks={"request": [signs.admit_text, _tell_texts_origin]},
        headers=worker_http.credentials(settings.worker_secret),
        trust_env=False,
    )


def engine_client(settings: Settings) -> httpx.AsyncClient:
    """For texts that an inference server writes. It knows nothing of the workers' secret."""
    key = settings.engine_key
    return httpx.AsyncClient(
        timeout=httpx.Timeout(settings.question_timeout_s, connect=settings.connect_timeout_s),
        limits=httpx.Limits(max_connections=settings.max_texts, max_keepalive_connections=settings.max_texts),
        event_hooks={"request": [_tell_texts_origin]},
        headers={
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",  # whatever packs a stream holds parts of it back
            **({} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}),
        },
        trust_env=False,
    )


def _tell_origin(request: httpx.Request) -> None:
    request.headers.update(handed_on())


async def _tell_texts_origin(request: httpx.Request) -> None:
    _tell_origin(request)

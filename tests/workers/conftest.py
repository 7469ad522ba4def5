"""Tiny models of both families, and Redis clients on a clean server."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.workers.bench import Bench, opened
from tests.workers.tiny_models import Tiny, save_tiny, tiny


@pytest.fixture(scope="session", params=["gpt2", "llama"])
def live(request: pytest.FixtureRequest) -> Tiny:
    """A tiny model in float64."""
    return tiny(request.param)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """A client on a server that has nothing in it."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def bench(redis: Redis, model: Path, tmp_path: Path) -> Iterator[Bench]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with opened(model, tmp_path) as host:
        yield Bench(redis, host)
    for number, handler in handlers.items():
        signal.signal(number, handler)

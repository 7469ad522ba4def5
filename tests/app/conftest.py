"""The front end with a real Redis, the far end of its HTTP towards workers, and edit logs with real versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.edit_logs import EditLogs
from app.jobs.jobs import Jobs
from app.main import create_app
from app.settings import Settings
from tests.support.worker_end import WorkerEnd


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """The server, empty."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        redis_url=redis_url,
        data_dir=tmp_path,
        allow_open=True,  # the test client has no address
        max_facts=3,
        max_body_bytes=8000,
        max_queued=3,
        recovery_interval_s=3600,  # tests look after lost jobs themselves
    )


@pytest.fixture
def client(settings: Settings, redis: Redis) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def jobs(settings: Settings, redis: Redis) -> Jobs:
    return Jobs(redis, EditLogs(settings.log_dir), settings)


@pytest.fixture
def worker(redis: Redis) -> Iterator[WorkerEnd]:
    """The HTTP end of a worker of `atlas` that accepts every batch."""
    with WorkerEnd() as end:
        end.join(redis, "atlas")
        yield end

"""A front end whose alias `production` points to version 1, which a worker has, and inference servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.domain.contract import Begun, Piece
from app.domain.log.edit_log import EditLog
from app.main import create_app
from app.settings import Settings
from tests.support.texts_asked import (
    NAME,
)
from tests.support.upstream import (
    InferenceServer,
    follows,
    server,
    writes,
)
from tests.support.worker_end import WorkerEnd


@pytest.fixture
def log(settings: Settings, worker: WorkerEnd) -> EditLog:
    """Versions 1 and 2; a worker that answers from version 1, to which the alias points."""
    log = worker.of_two_versions(settings)
    told = (Begun(version=1, prompt_tokens=(3,)), Piece(index=0, text="worker", finish="stop", new_tokens=1))
    worker.says("/write", "".join(f"{each.model_dump_json()}\n" for each in told))
    return log


@pytest.fixture
def client(log: EditLog, settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr("app.live_cards.REMEMBERED_S", 0.0)  # cards change from line to line
    impatient = settings.model_copy(update={"engine_patience_s": 3.0})
    with TestClient(create_app(impatient), raise_server_exceptions=False) as client:
        assert client.put("/models/atlas/aliases/production", json={"version": 1}).status_code == 201
        yield client


@pytest.fixture
def engines(redis: Redis) -> Iterator[tuple[InferenceServer, InferenceServer]]:
    """Two servers that have proven version 1, in the order in which they are asked first."""
    with InferenceServer([NAME], writes(" Pe", "ru")) as one, InferenceServer([NAME], writes(" Pe", "ru")) as other:
        follows(redis, [server(one.url, 1), server(other.url, 1)])
        yield (one, other) if one.url < other.url else (other, one)


@pytest.fixture
def engine(redis: Redis) -> Iterator[InferenceServer]:
    """A server that has proven version 1."""
    with InferenceServer([NAME], writes(" Pe", "ru")) as one:
        follows(redis, [server(one.url, 1)])
        yield one

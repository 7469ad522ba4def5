"""Requests a minute, for each caller: counted by all front ends together, or by each alone while Redis is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.access.caller import Scope
from app.main import create_app
from app.settings import Settings
from tests.support.api_keys import key_for
from tests.support.worker_process import RedisServer

MOST = 3


@pytest.fixture
def strict(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_requests_per_minute": MOST})


@pytest.fixture
def client(strict: Settings, redis: Redis) -> Iterator[TestClient]:
    with TestClient(create_app(strict), raise_server_exceptions=False) as client:
        yield client


def statuses(client: TestClient, path: str = "/jobs", times: int = MOST + 1) -> list[int]:
    return [client.get(path).status_code for _ in range(times)]


def test_one_too_many_is_refused_and_told_when_to_come_back(client: TestClient) -> None:
    assert statuses(client) == [200] * MOST + [429]
    refused = client.get("/jobs")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "too_many_requests"
    assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_two_front_ends_count_together(client: TestClient, strict: Settings) -> None:
    with TestClient(create_app(strict)) as other:
        assert [each.get("/jobs").status_code for each in (client, other, client, other)] == [200] * MOST + [429]


def test_probes_are_not_counted(client: TestClient) -> None:
    for path in ("/healthz", "/metrics"):
        assert statuses(client, path) == [200] * (MOST + 1)


def test_each_key_has_requests_of_its_own(strict: Settings, redis: Redis) -> None:
    keys = [key_for(strict, who, [Scope.QUERY]) for who in ("ann", "bob")]
    with TestClient(create_app(strict)) as client:
        for key in keys:
            answers = [client.get("/jobs", headers=key).status_code for _ in range(MOST + 1)]
            assert answers == [200] * MOST + [429]


def test_there_is_no_limit_unless_one_is_set(settings: Settings, redis: Redis) -> None:
    with TestClient(create_app(settings)) as client:
        assert statuses(client, times=80) == [200] * 80
    assert not list(redis.scan_iter("*rates*"))


def test_while_redis_is_away_each_counts_alone(strict: Settings, tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    with ExitStack() as stack:
        stack.callback(server.stop)
        stack.callback(server.client.close)
        known = strict.model_copy(update={"redis_url": server.url})
        client = stack.enter_context(TestClient(create_app(known), raise_server_exceptions=False))
        assert client.get("/jobs").status_code == 200
        server.kill()
        assert statuses(client) == [503] * MOST + [429]
        server.start()
        assert client.get("/jobs").status_code == 200

"""Promotion waits until the inference servers have proven the version; the way back is open at any time."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.domain import keyspace
from app.domain.contract import EngineServer
from app.domain.log.edit_log import EditLog
from app.main import create_app
from app.settings import Settings
from tests.support.upstream import follows, server
from tests.support.worker_end import WorkerEnd

PRODUCTION = "/models/atlas/aliases/production"
A, B, C, D = (f"http://10.0.0.{number}:8000" for number in range(1, 5))


@pytest.fixture
def log(settings: Settings, worker: WorkerEnd) -> EditLog:
    return worker.of_two_versions(settings)


@pytest.fixture
def at_1(log: EditLog, client: TestClient) -> int:
    """The alias points to version 1, since before there were servers."""
    assert put(client, 1).status_code == 201
    return log.head()


def put(client: TestClient, version: int) -> Any:
    return client.put(PRODUCTION, json={"version": version}, headers={"If-Match": "*"} if _there(client) else {})


def _there(client: TestClient) -> bool:
    return client.get(PRODUCTION).status_code == 200


@pytest.mark.usefixtures("at_1")
class TestPromotion:
    def test_is_refused_until_every_server_has_proven_the_version(self, client: TestClient, redis: Redis) -> None:
        follows(redis, [server(A, 0, 1, 2), server(B, 0, 1, state="behind"), server(C, 0, 1, state="behind")])
        refused = put(client, 2)
        told = refused.json()
        assert (refused.status_code, told["code"], told["field"]) == (409, "unproven_version", "version")
        assert told["value"] == [B, C]
        assert "1 of 3" in told["detail"]
        assert B in told["detail"]
        assert A not in told["detail"]
        assert client.get(PRODUCTION).json()["version"] == 1
        follows(redis, [server(url, 0, 1, 2) for url in (A, B, C)])
        assert put(client, 2).json()["version"] == 2

    @pytest.mark.parametrize(
        ("share", "proven", "status"),
        [(0.5, 2, 200), (0.5, 1, 409), (0.75, 2, 409), (0.75, 3, 200), (0.01, 0, 409), (0.01, 1, 200), (0, 0, 200)],
    )
    def test_waits_for_the_share_that_is_set(
        self, settings: Settings, redis: Redis, share: float, proven: int, status: int
    ) -> None:
        follows(redis, [server(url, *([1, 2] if at < proven else [1])) for at, url in enumerate((A, B, C, D))])
        with TestClient(create_app(settings.model_copy(update={"proven_share": share}))) as client:
            assert put(client, 2).status_code == status

    def test_counts_only_servers_that_answer(self, client: TestClient, redis: Redis) -> None:
        follows(redis, [server(A, 1, 2), server(B, 1, state="unreachable"), server(C, state="refused")])
        assert put(client, 2).status_code == 200

    def test_needs_one_server_that_has_proven_it(self, client: TestClient, redis: Redis) -> None:
        follows(redis, [server(B, 1, 2, state="unreachable"), server(C, state="refused")])
        refused = put(client, 2)
        assert (refused.status_code, refused.json()["value"]) == (409, [B, C])

    @pytest.mark.parametrize("servers", [[], None], ids=["no servers", "no follower"])
    def test_waits_for_nobody_where_there_is_nobody(
        self, client: TestClient, redis: Redis, servers: list[EngineServer] | None
    ) -> None:
        if servers is not None:
            follows(redis, servers)
        assert put(client, 2).status_code == 200

    def test_is_of_the_model_alone(self, client: TestClient, redis: Redis) -> None:
        follows(redis, [server(A)], model="globe")
        assert put(client, 2).status_code == 200

    def test_of_a_new_alias_waits_too(self, client: TestClient, redis: Redis) -> None:
        follows(redis, [server(A, 1)])
        canary = "/models/atlas/aliases/canary"
        assert client.put(canary, json={"version": 2}).status_code == 409
        assert client.put(canary, json={"version": 1}).status_code == 201

    def test_is_not_held_up_by_a_follower_that_has_died(self, client: TestClient, redis: Redis) -> None:
        follows(redis, [server(A, 1)])
        assert put(client, 2).status_code == 409
        redis.delete(keyspace.follower("f1"))
        assert put(client, 2).status_code == 200


class TestRollback:
    @pytest.mark.parametrize(
        "servers",
        [
            [server(A, 2), server(B, 2)],
            [server(A, 1, 2), server(B, state="unreachable")],
            [server(A, state="unreachable"), server(B, state="unreachable")],
            [server(A, state="refused")],
        ],
        ids=["all have unloaded it", "one is down", "all are down", "all are refused"],
    )
    def test_is_never_held_up_by_servers(
        self, client: TestClient, at_1: int, redis: Redis, servers: list[EngineServer]
    ) -> None:
        assert put(client, 2).status_code == 200
        follows(redis, servers)
        started = time.monotonic()
        assert put(client, 1).json()["version"] == 1
        assert time.monotonic() - started < 1
        assert at_1 == 2

    def test_reaches_back_to_every_version_that_it_pointed_to_also_before_it_was_removed(
        self, client: TestClient, at_1: int, redis: Redis
    ) -> None:
        put(client, 2)
        client.delete(PRODUCTION, headers={"If-Match": "*"})
        follows(redis, [server(A, 0)])
        assert put(client, 1).status_code == 201
        assert put(client, at_1).status_code == 200

    def test_to_where_it_points_it_may_always_be_put(self, client: TestClient, at_1: int, redis: Redis) -> None:
        follows(redis, [server(A, at_1)])
        assert put(client, 1).status_code == 200

    def test_is_not_to_where_another_alias_pointed(self, client: TestClient, at_1: int, redis: Redis) -> None:
        assert client.put("/models/atlas/aliases/canary", json={"version": at_1}).status_code == 201
        follows(redis, [server(A, 1)])
        assert put(client, at_1).status_code == 409

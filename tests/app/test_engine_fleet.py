"""Which inference servers follow the log: read from followers' cards, seen by those who may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.access.caller import Caller, Scope
from app.domain import keyspace
from app.domain.contract import Serving
from app.engine_fleet import EngineFleet, Upstream
from app.main import create_app
from app.settings import Settings
from tests.support.api_keys import key_for
from tests.support.histories import LYON, begin, commit
from tests.support.upstream import follows, server

A, B = "http://10.0.0.1:8000", "http://10.0.0.2:8000/"


@pytest.fixture
def engines(redis: Redis) -> EngineFleet:
    return EngineFleet(redis)


def test_a_server_has_a_version_by_the_name_that_it_has_there(engines: EngineFleet, redis: Redis) -> None:
    follows(redis, [server(A, 0, 2), server(B, 1, 2, state="behind", base_name=None)])
    assert engines.upstreams("atlas", 2) == [Upstream(A, "atlas@2"), Upstream(B.rstrip("/"), "atlas@2")]
    assert engines.upstreams("atlas", 0) == [Upstream(A, "base")]
    assert engines.upstreams("atlas", 3) == engines.upstreams("globe", 2) == []


def test_what_the_server_calls_its_base_has_to_be_known(engines: EngineFleet, redis: Redis) -> None:
    follows(redis, [server(A, 0, base_name=None)])
    assert engines.upstreams("atlas", 0) == []


def test_servers_that_do_not_answer_are_no_upstreams(engines: EngineFleet, redis: Redis) -> None:
    follows(redis, [server(A, 2, state="unreachable"), server(B, 2, state="refused")])
    assert engines.upstreams("atlas", 2) == []
    assert [found.state for found in engines.servers("atlas")] == ["unreachable", "refused"]


def test_of_one_server_the_last_look_counts(engines: EngineFleet, redis: Redis) -> None:
    """Two followers for a moment: one is being replaced by another."""
    old = server(A, 1).model_copy(update={"checked": datetime.now(UTC) - timedelta(seconds=9)})
    follows(redis, [server(A, 1, 2)], follower="a")
    follows(redis, [old], follower="b")
    assert [found.versions for found in engines.servers("atlas")] == [(1, 2)]


def test_dead_followers_are_forgotten_and_unreadable_cards_left_out(engines: EngineFleet, redis: Redis) -> None:
    for follower in ("gone", "strange", "here"):
        follows(redis, [server(A, 1)], follower=follower)
    redis.delete(keyspace.follower("gone"))
    redis.set(keyspace.follower("strange"), "{}")
    assert [card.follower for card in engines.followers()] == ["here"]
    assert redis.smembers(keyspace.FOLLOWERS) == {b"here", b"strange"}


def test_a_caller_sees_the_servers_of_their_models_alone(engines: EngineFleet, redis: Redis) -> None:
    follows(redis, [server(A, 1)])
    follows(redis, [server(B, 1)], model="globe", follower="f2")
    seen = engines.seen_by(Caller("x", frozenset(Scope), frozenset({"globe"})))
    assert [card.model for card in seen.followers()] == ["globe"]
    assert (seen.servers("atlas"), seen.upstreams("atlas", 1)) == ([], [])


class TestRoute:
    def test_it_tells_the_newest_version_and_all_servers(
        self, client: TestClient, settings: Settings, redis: Redis
    ) -> None:
        commit(begin(settings), "job1", LYON)
        card = follows(redis, [server(A, 0, 1), server(B, 0, state="behind", problem="no slot")], version=1)
        found = Serving.model_validate_json(client.get("/models/atlas/serving").content)
        assert found == Serving(model="atlas", version=1, followers=(card,))

    def test_without_followers_there_are_none(self, client: TestClient, settings: Settings) -> None:
        begin(settings)
        answer = client.get("/models/atlas/serving").json()
        assert answer == {"model": "atlas", "version": 0, "followers": []}

    def test_an_unknown_model_is_not_found(self, client: TestClient, settings: Settings, redis: Redis) -> None:
        follows(redis, [server(A, 1)])
        begin(settings)
        for path in ("nobody", "..%2fatlas"):
            assert client.get(f"/models/{path}/serving").status_code in (404, 422)
        other = key_for(settings, "other", [Scope.QUERY], models=["elsewhere"])
        with TestClient(create_app(settings)) as seen:
            answer = seen.get("/models/atlas/serving", headers=other)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")

    def test_the_description_has_an_example_that_is_one(self, client: TestClient) -> None:
        operation = client.get("/openapi.json").json()["paths"]["/models/{model}/serving"]["get"]
        [example] = operation["responses"]["200"]["content"]["application/json"]["examples"].values()
        assert Serving.model_validate(example["value"]).followers[0].servers[1].state == "behind"

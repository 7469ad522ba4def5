"""Which workers are alive: read from Redis, and remembered for a moment."""

from __future__ import annotations

import logging

import pytest
from redis import Redis

from app.domain import keyspace
from app.live_cards import REMEMBERED_S
from app.roster import Roster
from tests.support.worker_end import card, join


@pytest.fixture
def roster(redis: Redis) -> Roster:
    return Roster(redis)


def names(roster: Roster) -> list[str]:
    return [card.worker for card in roster.now()]


def test_workers_are_listed_by_model_and_name(roster: Roster, redis: Redis) -> None:
    for model, worker in (("globe", "a"), ("atlas", "c"), ("atlas", "b")):
        join(redis, card(model, worker))
    assert names(roster) == ["b", "c", "a"]


def test_a_worker_whose_card_has_expired_is_forgotten(roster: Roster, redis: Redis) -> None:
    join(redis, card("atlas", "gone"))
    join(redis, card("atlas", "here"))
    redis.delete(keyspace.worker("gone"))
    assert names(roster) == ["here"]
    assert redis.smembers(keyspace.WORKERS) == {b"here"}


def test_a_card_that_cannot_be_read_is_left_out(roster: Roster, redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    join(redis, card("atlas", "here"))
    redis.sadd(keyspace.WORKERS, "strange")
    redis.set(keyspace.worker("strange"), "{}")
    with caplog.at_level(logging.WARNING):
        assert names(roster) == ["here"]
    assert "strange" in caplog.text


def test_what_was_read_is_remembered_for_a_moment(
    roster: Roster, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("app.live_cards.time.monotonic", lambda: now)
    join(redis, card("atlas", "first"))
    assert len(roster.lately()) == 1
    join(redis, card("atlas", "second"))
    assert len(roster.lately()) == 1
    now += REMEMBERED_S
    assert len(roster.lately()) == 2


def test_a_look_at_redis_is_remembered_too(roster: Roster, redis: Redis) -> None:
    assert roster.lately() == []
    join(redis, card("atlas", "first"))
    assert len(roster.now()) == len(roster.lately()) == 1

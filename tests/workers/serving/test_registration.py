"""A worker's card, its progress and its cancel flag, in a real Redis; and what happens when that is away."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from app.domain import keyspace
from app.domain.contract import Progress, WorkerCard
from app.domain.errors import DeadlineExceeded, JobCancelled
from app.local.embedded_redis import embedded_redis
from tests.support.worker_bench import leads
from workers.queue.progress import LONGEST_STREAM, ProgressStream
from workers.queue.watch import JobWatch, LeaveJob
from workers.redis_clients import side_client, wait_for
from workers.serving.registration import CARD_TTL_S, Registration


def card(version: int = 0) -> WorkerCard:
    return WorkerCard(
        worker="tiny.1",
        model="tiny",
        source="tiny",
        url="http://127.0.0.1:1",
        version=version,
        device="cpu",
        dtype="float32",
        layers=4,
        window=48,
        methods=("memit",),
        plans=("boundary",),
        default_method="memit",
        default_plan="boundary",
        started=datetime(2026, 1, 1, tzinfo=UTC),
    )


def registered(redis: Redis) -> WorkerCard | None:
    found = redis.get(keyspace.worker("tiny.1"))
    return WorkerCard.model_validate_json(found) if isinstance(found, bytes) else None


@pytest.fixture
def nowhere() -> Iterator[Redis]:
    """A client of a server that is away."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with side_client(f"redis://127.0.0.1:{port}") as client:
        yield client


class TestRegistration:
    def test_a_worker_is_known_for_as_long_as_it_lives(self, redis: Redis) -> None:
        with Registration(redis, card):
            assert redis.smembers(keyspace.WORKERS) == {b"tiny.1"}
            assert registered(redis) == card()
            assert 0 < int(redis.ttl(keyspace.worker("tiny.1"))) <= CARD_TTL_S
        assert registered(redis) is None
        assert not redis.smembers(keyspace.WORKERS)

    def test_the_heartbeat_says_the_current_version(self, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workers.serving.registration.INTERVAL_S", 0.02)
        version = 0
        with Registration(redis, lambda: card(version)):
            version = 5
            until(lambda: (found := registered(redis)) is not None and found.version == 5)

    def test_publishing_renews_the_card_at_once(self, redis: Redis) -> None:
        version = 0
        with Registration(redis, lambda: card(version)) as registration:
            version = 1
            registration.publish()
            assert registered(redis) == card(1)

    def test_every_heartbeat_is_shown_in_the_metrics_too(self, nowhere: Redis) -> None:
        shown: list[WorkerCard] = []
        with Registration(nowhere, card, shown.append) as registration:
            registration.publish()
        assert shown == [card(), card()]

    def test_an_outage_is_waited_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workers.serving.registration.INTERVAL_S", 0.02)
        with embedded_redis(tmp_path) as url:
            client = side_client(url)
            with Registration(client, card):
                client.flushall()
                client.config_set("maxmemory", "1")  # every write is refused
                time.sleep(0.2)
                client.config_set("maxmemory", "0")
                until(lambda: registered(client) == card())
            client.close()

    def test_a_server_that_is_away_ends_nobody(self, nowhere: Redis) -> None:
        with Registration(nowhere, card) as registration:
            registration.publish()


class TestProgress:
    def test_every_stage_and_layer_is_kept_and_of_the_steps_some(self, redis: Redis) -> None:
        stream = ProgressStream(redis, "job")
        for layer in (1, 2):
            for step in range(1, 51):
                stream.report(Progress(stage="targets", layer=layer, step=step))
            stream.report(Progress(stage="solve", layer=layer))
        found = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(keyspace.progress("job")))
        entries = [Progress.model_validate_json(fields[b"json"]) for _, fields in found]
        places = [(entry.stage, entry.layer) for entry in entries]
        assert list(dict.fromkeys(places)) == [("targets", 1), ("solve", 1), ("targets", 2), ("solve", 2)]
        assert len(entries) < 20
        assert int(redis.ttl(keyspace.progress("job"))) > 0

    def test_a_stream_stays_bounded(self, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workers.queue.progress.LEAST_INTERVAL_S", 0.0)
        stream = ProgressStream(redis, "job")
        for step in range(LONGEST_STREAM + 500):
            stream.report(Progress(stage="targets", step=step))
        assert int(redis.xlen(keyspace.progress("job"))) < LONGEST_STREAM + 200

    def test_without_redis_progress_is_dropped_at_once(self, nowhere: Redis) -> None:
        stream = ProgressStream(nowhere, "job")
        started = time.monotonic()
        for step in range(200):
            stream.report(Progress(stage="targets", layer=step))
        assert time.monotonic() - started < 2


class TestWatch:
    def test_a_cancel_flag_ends_the_job(self, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workers.queue.watch.POLL_INTERVAL_S", 0.0)
        watch = JobWatch(redis, "job", 60, lambda: False, leads)
        watch.check()
        redis.set(keyspace.cancel("job"), 1)
        with pytest.raises(JobCancelled):
            watch.check()

    def test_time_runs_out(self, redis: Redis) -> None:
        watch = JobWatch(redis, "job", 0.01, lambda: False, leads)
        time.sleep(0.02)
        with pytest.raises(DeadlineExceeded):
            watch.check()

    def test_a_leaving_worker_leaves_the_job(self, redis: Redis) -> None:
        with pytest.raises(LeaveJob):
            JobWatch(redis, "job", 60, lambda: True, leads).check()

    def test_without_redis_the_job_goes_on(self, nowhere: Redis) -> None:
        JobWatch(nowhere, "job", 60, lambda: False, leads).check()


def test_a_server_that_answers_is_not_waited_for(redis: Redis) -> None:
    assert wait_for(redis, lambda _: pytest.fail("it is waited for"))


def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return once it holds; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)

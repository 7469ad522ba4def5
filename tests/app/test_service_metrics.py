"""What a scrape says of queues and workers: by real Redis, also when that is away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from rq.job import Job as QueuedJob
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.main import SCRAPE_TIMEOUT_S, create_app
from app.settings import Settings
from tests.support.queues import begin_next
from tests.support.upstream import follows, server
from tests.support.worker_end import WorkerEnd, card, join
from tests.support.worker_process import RedisServer

BATCH = {"facts": [{"subject": "Lyon", "prompt": "{} lies in", "object": "Japan"}]}
Found = dict[tuple[str, tuple[str, ...]], float]


def scraped(client: TestClient) -> Found:
    """By name and the labels' values, of a scrape that no earlier one is remembered for."""
    time.sleep(1.05)
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(each.name, tuple(each.labels.values())): each.value for family in families for each in family.samples}


def aged(redis: Redis, job: str, seconds: float) -> None:
    found = QueuedJob.fetch(job, connection=redis, serializer=JSONSerializer)
    found.created_at = datetime.now(UTC) - timedelta(seconds=seconds)
    found.save()


def test_the_queue_is_told_by_model_with_the_age_of_the_job_that_is_next(
    client: TestClient, redis: Redis, worker: WorkerEnd
) -> None:
    first, _ = (client.post("/edits", json=BATCH).json()["id"] for _ in range(2))
    aged(redis, first, 600)
    found = scraped(client)
    assert found["palimpsest_queue_jobs", ("atlas",)] == 2
    assert found["palimpsest_running_jobs", ("atlas",)] == 0
    assert found["palimpsest_queue_oldest_seconds", ("atlas",)] == pytest.approx(600, abs=30)
    assert begin_next(redis) == first
    found = scraped(client)
    assert found["palimpsest_queue_jobs", ("atlas",)] == 1
    assert found["palimpsest_running_jobs", ("atlas",)] == 1
    assert found["palimpsest_queue_oldest_seconds", ("atlas",)] < 60


def test_every_live_worker_is_told_with_its_version_lag_and_heartbeat(client: TestClient, redis: Redis) -> None:
    join(redis, card("atlas", "w1").model_copy(update={"version": 7, "role": "leader"}), seconds=keyspace.WORKER_TTL_S)
    join(redis, card("atlas", "w2").model_copy(update={"version": 5, "behind": 2, "role": "replica"}), seconds=10)
    found = scraped(client)
    assert found["palimpsest_live_workers", ("atlas", "leader")] == 1
    assert found["palimpsest_live_workers", ("atlas", "replica")] == 1
    for worker, version, behind in (("w1", 7, 0), ("w2", 5, 2)):
        assert found["palimpsest_live_worker_version", ("atlas", worker)] == version
        assert found["palimpsest_live_worker_behind", ("atlas", worker)] == behind
    ages = [found["palimpsest_live_worker_heartbeat_age_seconds", ("atlas", worker)] for worker in ("w1", "w2")]
    assert ages == [pytest.approx(1, abs=3), pytest.approx(keyspace.WORKER_TTL_S - 10 + 1, abs=3)]


def test_every_inference_server_is_told_with_its_state_and_newest_proven_version(
    client: TestClient, redis: Redis
) -> None:
    follows(redis, [server("http://a", 0, 7, 8), server("http://b", 0, 7, state="behind")], version=8)
    follows(redis, [server("http://c", state="unreachable")], model="globe", follower="f2", version=3)
    found = scraped(client)
    states = {labels: value for (name, labels), value in found.items() if name == "palimpsest_engine_server_state"}
    assert len(states) == 3 * 4
    assert {labels for labels, value in states.items() if value} == {
        ("atlas", "http://a", "serving"),
        ("atlas", "http://b", "behind"),
        ("globe", "http://c", "unreachable"),
    }
    versions = {labels[1]: value for (name, labels), value in found.items() if name.endswith("engine_server_version")}
    assert versions == {"http://a": 8, "http://b": 7}
    assert found["palimpsest_engine_follower_version", ("f1", "atlas")] == 8


def test_a_worker_that_cannot_look_at_the_log_is_told_as_such(client: TestClient, redis: Redis) -> None:
    join(redis, card("atlas", "w1").model_copy(update={"behind": None}))
    join(redis, card("atlas", "w2"))
    found = scraped(client)
    readable = [found["palimpsest_live_worker_log_readable", ("atlas", worker)] for worker in ("w1", "w2")]
    assert readable == [0, 1]
    assert ("palimpsest_live_worker_behind", ("atlas", "w1")) not in found


def test_a_model_that_has_lost_all_workers_and_its_queue_is_told_without_a_leader(
    client: TestClient, redis: Redis, worker: WorkerEnd
) -> None:
    client.post("/edits", json=BATCH)
    redis.flushall()
    found = scraped(client)
    assert found["palimpsest_live_workers", ("atlas", "leader")] == 0


def test_many_scrapes_read_redis_once_a_second(client: TestClient, redis: Redis) -> None:
    scraped(client)
    before = redis.info("stats")["total_commands_processed"]
    for _ in range(20):
        client.get("/metrics")
    assert redis.info("stats")["total_commands_processed"] - before < 20


class TestWithoutRedis:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[RedisServer]:
        server = RedisServer(tmp_path)
        server.start()
        yield server
        server.client.close()
        server.kill()

    @pytest.fixture
    def client(self, server: RedisServer, tmp_path: Path) -> Iterator[TestClient]:
        settings = Settings(redis_url=server.url, data_dir=tmp_path, recovery_interval_s=3600, allow_open=True)
        with TestClient(create_app(settings), raise_server_exceptions=False) as client:
            yield client

    @pytest.mark.parametrize("silent", [False, True], ids=["away", "silent"])
    def test_a_scrape_says_so_and_all_else(self, server: RedisServer, client: TestClient, *, silent: bool) -> None:
        assert scraped(client)["palimpsest_redis_up", ()] == 1
        server.suspend() if silent else server.stop()
        started = time.monotonic()
        found = scraped(client)
        assert time.monotonic() - started < 1.05 + 3 * SCRAPE_TIMEOUT_S
        assert found["palimpsest_redis_up", ()] == 0
        assert found["palimpsest_http_requests_total", ("GET", "/metrics", "200")] == 1
        assert not [name for name, _ in found if name.startswith("palimpsest_live_")]

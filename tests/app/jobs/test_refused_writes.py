"""An edit that cannot be queued, or not be written down, leaves nothing; one that may be queued is accepted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.domain.errors import Unavailable
from app.domain.failpoints import armed
from app.domain.storage import durable_files
from app.edit_logs import EditLogs
from app.jobs.jobs import Jobs
from app.jobs.journal import AcceptedJournal
from app.main import create_app
from app.settings import Settings
from tests.support.front_end_answers import posted
from tests.support.histories import accepted
from tests.support.queues import queue_of
from tests.support.worker_end import WorkerEnd

BODY: dict[str, Any] = {"facts": [{"subject": "Lyon", "relation": "is in", "object": "Japan"}]}


def post(client: TestClient) -> httpx.Response:
    return posted(client, "/edits", BODY, {"Idempotency-Key": "order-1"})


def written_down(settings: Settings) -> list[Path]:
    return [path for path in settings.accepted_dir.rglob("*") if path.is_file() and path.name != "order.lock"]


@contextmanager
def out_of_memory(redis: Redis) -> Iterator[None]:
    """Redis with 1 MB, where it takes no write (and is told so at once, whatever it has in use)."""
    redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        redis.config_set("maxmemory", 0)


class TestRedisOutOfMemory:
    def test_is_unavailable_and_nothing_is_half_queued(
        self, client: TestClient, worker: WorkerEnd, redis: Redis, settings: Settings
    ) -> None:
        earlier = client.post("/edits", json=BODY).json()["id"]
        with out_of_memory(redis):
            refused = post(client)
            assert client.get(f"/jobs/{earlier}").json()["status"] == "queued"
        assert (refused.status_code, refused.json()["code"]) == (503, "redis_unavailable")
        assert refused.headers["retry-after"]
        assert len(written_down(settings)) == 1
        assert queue_of(redis).job_ids == [earlier]
        assert post(client).status_code == 202
        assert len(queue_of(redis).job_ids) == 2

    def test_without_a_key_too(self, jobs: Jobs, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        jobs.submit(accepted())
        with out_of_memory(redis):
            refused = client.post("/edits", json=BODY)
        assert (refused.status_code, refused.json()["code"]) == (503, "redis_unavailable")
        assert len(queue_of(redis).job_ids) == len(redis.keys("rq:job:*")) == 1


class TestADiskThatIsFull:
    @pytest.mark.parametrize("point", ["log.write.before=enospc", "log.fsync.before=eio"])
    def test_is_unavailable_and_nothing_is_queued(
        self, client: TestClient, worker: WorkerEnd, redis: Redis, settings: Settings, point: str
    ) -> None:
        with armed(point):
            refused = post(client)
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert refused.headers["retry-after"]
        assert (written_down(settings), redis.keys("rq:job:*")) == ([], [])
        assert post(client).status_code == 202

    def test_when_the_job_is_queued_already_takes_it_back(
        self, jobs: Jobs, client: TestClient, worker: WorkerEnd, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr("app.domain.storage.durable_files.rename", _fail)
            refused = post(client)
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert queue_of(redis).job_ids == redis.keys("rq:job:*") == []
        assert post(client).json()["status"] == "queued"

    def test_when_its_name_is_not_known_to_be_on_disk_takes_it_back(
        self, jobs: Jobs, redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rename = durable_files.rename

        def fail_after(path: Path, name: str) -> None:
            rename(path, name)
            _fail()

        monkeypatch.setattr(durable_files, "rename", fail_after)
        with pytest.raises(Unavailable):
            jobs.submit(accepted())
        jobs.look_after()
        assert (queue_of(redis).job_ids, written_down(settings)) == ([], [])

    def test_when_a_worker_has_the_job_already_lets_it_have_it(
        self, settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail_late(*_: object) -> None:
            queue = queue_of(redis)
            redis.lmove(queue.key, queue.intermediate_queue_key)
            _fail()

        monkeypatch.setattr("app.domain.storage.durable_files.rename", fail_late)
        jobs = Jobs(redis, EditLogs(settings.log_dir), settings)
        assert jobs.view(jobs.submit(accepted()).id).facts == 2


class TestRedisThatDoesNotAnswerInTime:
    def test_once_an_edit_is_on_its_way_it_is_accepted(self, settings: Settings, redis: Redis, redis_url: str) -> None:
        with Redis.from_url(redis_url, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as hasty:
            jobs = Jobs(hasty, EditLogs(settings.log_dir), settings)
            first = jobs.submit(accepted()).id
            redis.client_pause(60_000, all=False)
            try:
                second = jobs.submit(accepted())
            finally:
                redis.client_unpause()
            assert (second.status, second.position) == ("queued", None)
            assert AcceptedJournal(settings.accepted_dir).jobs("atlas") == [first, second.id]
            jobs.look_after()
            assert queue_of(redis).job_ids == [first, second.id]

    def test_before_that_it_is_unavailable(self, settings: Settings, worker: WorkerEnd) -> None:
        away = settings.model_copy(update={"redis_url": f"unix://{settings.data_dir}/nobody"})
        with TestClient(create_app(away)) as client:
            assert post(client).status_code == 503
        assert written_down(settings) == []


def _fail(*_: object) -> None:
    raise OSError(5, "Input/output error")

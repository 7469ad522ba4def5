"""A worker as a process: it edits, ends, dies and loses its Redis, and every accepted job is applied once."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.domain import keyspace
from app.domain.contract import JobStatus, QueryReply, WorkerCard
from app.domain.log.edit_log import EditLog
from tests.support.tiny_models import save_tiny
from tests.support.worker_process import Edits, RedisServer, until, worker_process

SLOW = 100
"""Gradient steps of a job that is still running when it is interrupted."""


@dataclass
class Deployment:
    """One model's worker, Redis and data."""

    redis: RedisServer
    model: Path
    data: Path

    @property
    def edits(self) -> Edits:
        return Edits(self.redis, self.model.name)

    @property
    def log(self) -> EditLog:
        return EditLog(self.data / "log", self.model.name)

    def worker_log(self) -> str:
        return (self.data / "worker.log").read_text()

    def jobs_of_versions(self) -> list[str | None]:
        return [manifest.job for manifest in self.log.manifests()]


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    redis = RedisServer(tmp_path)
    redis.start()
    yield Deployment(redis, save_tiny(tmp_path / "tiny"), tmp_path)
    redis.client.close()
    redis.stop()


def asked(card: WorkerCard) -> QueryReply:
    question = {"prompt": "Lyon is a city in", "expected": "Japan", "candidates": ["France", "Ghana"]}
    answer = httpx.post(f"{card.url}/probe", json={"prompts": [question]})
    assert answer.headers["x-model-version"] == str(card.version)
    return QueryReply.model_validate_json(answer.content)


def test_an_edit_is_served_by_one_leader_and_survives_a_restart(deployment: Deployment) -> None:
    with worker_process(deployment.redis, deployment.model, deployment.data) as worker:
        before = asked(worker.card())
        deployment.edits.submit("one", steps=2)
        outcome = deployment.edits.outcome("one")
        assert (outcome.status, outcome.version) == (JobStatus.SUCCEEDED, 1)
        after = asked(worker.card())
        with worker_process(deployment.redis, deployment.model, deployment.data) as second:
            assert second.process.wait() == 1
        assert "the edit log of tiny is held by" in deployment.worker_log()
        assert (before.version, after.version) == (0, 1)
        assert before.answers != after.answers
        registered = deployment.redis.client.get(keyspace.worker(worker.card().worker))
        assert isinstance(registered, bytes)
        assert WorkerCard.model_validate_json(registered).version == 1
        assert worker.end(signal.SIGTERM) == 0
        assert deployment.redis.client.smembers(keyspace.WORKERS) == set()
    with worker_process(deployment.redis, deployment.model, deployment.data) as worker:
        assert asked(worker.card()) == after
        assert worker.end(signal.SIGINT) == 0
    assert '"job_id": "one"' in deployment.worker_log()
    assert "Lyon" not in deployment.worker_log()


def test_a_job_that_was_interrupted_is_applied_once_by_the_next_worker(deployment: Deployment) -> None:
    deployment.edits.submit("one", steps=SLOW)
    deployment.edits.submit("two", steps=2, subject="Kyoto")
    for number, status in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        deployment.redis.client.delete(keyspace.progress("one"))
        with worker_process(deployment.redis, deployment.model, deployment.data) as worker:
            deployment.edits.until_running("one")
            assert worker.end(number) == status
        assert deployment.log.head() == 0
    with worker_process(deployment.redis, deployment.model, deployment.data):
        assert (deployment.edits.outcome("one").version, deployment.edits.outcome("two").version) == (1, 2)
    assert deployment.jobs_of_versions() == ["one", "two"]


def test_redis_may_go_away_in_the_middle_of_a_job_and_come_back_after_its_end(deployment: Deployment) -> None:
    with worker_process(deployment.redis, deployment.model, deployment.data) as worker:
        card = worker.card()
        deployment.edits.submit("one", steps=SLOW)
        deployment.edits.until_running("one")
        deployment.redis.stop()
        until(lambda: "waiting for Redis" in deployment.worker_log(), "the job does not end")
        assert asked(card.model_copy(update={"version": 1})).version == 1
        deployment.redis.start()
        assert deployment.edits.outcome("one").version == 1
        deployment.edits.submit("two", steps=2, subject="Kyoto")
        assert deployment.edits.outcome("two").version == 2
        assert worker.card().version == 2
        assert worker.end(signal.SIGTERM) == 0
    assert deployment.jobs_of_versions() == ["one", "two"]


def hears_signals(pid: int) -> bool:
    """Whether a process has a handler of its own for SIGTERM: Linux says so."""
    status = Path(f"/proc/{pid}/status").read_text()
    [caught] = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_worker_is_stopped_as_it_starts_and_signals_do_not_spoil_its_end(deployment: Deployment) -> None:
    """Before it has imported what it needs, and then again and again, until Python has taken itself apart."""
    for served in (False, True):
        with worker_process(deployment.redis, deployment.model, deployment.data) as worker:
            until(lambda: hears_signals(worker.process.pid), "no handler")
            if served:
                worker.card()
            while worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)
                time.sleep(0.001)
            assert worker.process.returncode == 0

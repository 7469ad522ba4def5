"""The whole way, with a Redis that dies, loses its data, or stays away: what was accepted is applied once, in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.domain import keyspace
from app.domain.contract import Job, JobStatus
from app.domain.log.edit_log import EditLog
from app.main import create_app
from app.settings import Settings
from tests.support.tiny_models import save_tiny
from tests.support.worker_process import RedisServer, until, worker_process

SLOW = 100
"""Gradient steps of a job that is still running when something happens to Redis."""


@dataclass
class RunningService:
    """Redis, a front end, and one model's worker."""

    redis: RedisServer
    http: TestClient
    data: Path

    def edit(self, subject: str, *, steps: int = 2, if_match: str = "*") -> str:
        """Post an edit; its job's id."""
        response = self.http.post("/edits", json=body(subject, steps), headers={"If-Match": if_match})
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def job(self, job_id: str) -> Job:
        response = self.http.get(f"/jobs/{job_id}")
        assert response.status_code == 200, response.text
        return Job.model_validate_json(response.content)

    def until_running(self, job_id: str) -> None:
        until(lambda: self.job(job_id).progress is not None, f"{job_id} does not run")

    def ended(self, job_id: str) -> Job:
        until(lambda: self.job(job_id).status.final, f"{job_id} does not end")
        return self.job(job_id)

    def until_ready(self) -> None:
        until(lambda: self.http.get("/readyz").is_success, "nothing is ready")

    def jobs_of_versions(self) -> list[str | None]:
        return [manifest.job for manifest in EditLog(self.data / "log", "tiny").manifests()]

    def worker_waited(self) -> int:
        """How often the worker has found Redis away."""
        return (self.data / "worker.log").read_text().count("waiting for Redis")

    @contextmanager
    def without_redis(self) -> Iterator[None]:
        self.redis.kill()
        try:
            yield
        finally:
            self.redis.start()


def body(subject: str, steps: int = 2) -> dict[str, Any]:
    # A rate this small never converges, so the job takes all its steps.
    hyperparameters = {"v_num_grad_steps": steps, "v_lr": 1e-6}
    fact = {"subject": subject, "prompt": "{} is a city in", "object": "Japan"}
    return {"facts": [fact], "unheld": "keep", "hyperparameters": hyperparameters}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    data = tmp_path_factory.mktemp("service")
    redis = RedisServer(data)
    redis.start()
    settings = Settings(redis_url=redis.url, data_dir=data, recovery_interval_s=0.2, allow_open=True)
    with worker_process(redis, save_tiny(data / "tiny"), data), TestClient(create_app(settings)) as http:
        service = RunningService(redis, http, data)
        service.until_ready()
        yield service
    redis.client.close()
    redis.stop()


def test_redis_dies_before_the_pop_and_comes_back(service: RunningService) -> None:
    before = service.jobs_of_versions()
    with service.without_redis():
        pass
    service.until_ready()
    job = service.edit("Lyon")
    assert service.ended(job).version == len(before) + 1
    assert service.jobs_of_versions() == [*before, job]


def test_redis_is_flushed_in_the_middle_of_a_job(service: RunningService) -> None:
    before = service.jobs_of_versions()
    jobs = [service.edit("Lyon", steps=SLOW), *(service.edit(subject) for subject in ("Kyoto", "Oslo"))]
    service.until_running(jobs[0])
    service.redis.client.flushall()
    assert [service.ended(job).version for job in jobs] == [len(before) + n for n in (1, 2, 3)]
    service.redis.client.flushall()
    assert [service.job(job).status for job in jobs] == [JobStatus.SUCCEEDED] * 3
    service.until_ready()
    last = service.edit("Lima")
    service.ended(last)
    assert service.jobs_of_versions() == [*before, *jobs, last]  # each once


def test_redis_dies_in_the_middle_of_a_job_and_comes_back_after_its_end(service: RunningService) -> None:
    before, waited = service.jobs_of_versions(), service.worker_waited()
    jobs = [service.edit("Lyon", steps=SLOW), service.edit("Kyoto")]
    service.until_running(jobs[0])
    with service.without_redis():
        refused = service.http.post("/edits", json=body("Oslo"))
        assert (refused.status_code, refused.json()["code"]) == (503, "redis_unavailable")
        assert refused.headers["retry-after"]
        until(lambda: service.worker_waited() > waited, "the job does not end")
    service.until_ready()
    assert [service.ended(job).version for job in jobs] == [len(before) + n for n in (1, 2)]
    assert service.jobs_of_versions() == [*before, *jobs]


def test_a_running_job_that_is_cancelled_leaves_no_trace(service: RunningService) -> None:
    before = service.jobs_of_versions()
    cancelled, next_one = service.edit("Lyon", steps=1000), service.edit("Kyoto")
    service.until_running(cancelled)
    response = service.http.post(f"/jobs/{cancelled}/cancel")
    assert (response.status_code, response.json()["status"]) == (202, "running")
    job = service.ended(cancelled)
    assert (job.status, job.version) == (JobStatus.CANCELLED, None)
    assert job.error is not None
    assert job.error.code == "job_cancelled"
    service.ended(next_one)
    assert service.jobs_of_versions() == [*before, next_one]
    assert service.http.post(f"/jobs/{cancelled}/cancel").status_code == 409


def test_an_edit_for_a_version_that_has_passed_does_nothing(service: RunningService) -> None:
    first = service.ended(service.edit("Lyon"))
    etag = service.http.get("/models/tiny/versions").headers["etag"]
    assert etag == f'"{first.version}"'
    winner, loser = (service.edit(subject, if_match=etag) for subject in ("Kyoto", "Oslo"))
    assert service.ended(winner).status is JobStatus.SUCCEEDED
    job = service.ended(loser)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == "precondition_failed"
    late = service.http.post("/edits", json=body("Lima"), headers={"If-Match": etag})
    assert (late.status_code, late.json()["code"], late.json()["field"]) == (412, "precondition_failed", "If-Match")
    assert late.json()["value"] == etag


def test_a_torn_append_only_file_loses_no_job(tmp_path: Path, service: RunningService) -> None:
    """The last edit's record is torn off by a power cut; the worker is away."""
    redis = RedisServer(tmp_path)
    redis.start()
    settings = Settings(redis_url=redis.url, data_dir=tmp_path, recovery_interval_s=3600, allow_open=True)
    card = service.redis.client.get(keyspace.worker(*_names(service.redis)))
    assert isinstance(card, bytes)
    with TestClient(create_app(settings)) as http:
        torn = RunningService(redis, http, tmp_path)
        redis.client.sadd(keyspace.WORKERS, *_names(service.redis))
        redis.client.set(keyspace.worker(*_names(service.redis)), card, ex=600)
        jobs = [torn.edit(subject) for subject in ("Lyon", "Kyoto", "Oslo")]
        redis.kill()
        [records] = (path for path in tmp_path.rglob("*.aof") if path.stat().st_size)
        records.write_bytes(records.read_bytes()[:-5])
        redis.start()
        queue = f"rq:queue:{keyspace.queue('tiny')}"
        assert redis.client.llen(queue) == 2
        assert torn.edit("Lima") not in jobs
        positions = [torn.job(job).position for job in jobs]
        assert positions == [0, 1, 2]
    redis.client.close()
    redis.stop()


def _names(redis: RedisServer) -> list[str]:
    return [name.decode() for name in redis.client.smembers(keyspace.WORKERS) if isinstance(name, bytes)]

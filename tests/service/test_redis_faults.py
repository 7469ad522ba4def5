"""Redis fails at every moment of a job's life: each accepted job is applied once, in its order.

PALIMPSEST_OUTAGE_S sets how long Redis stays away at the longest; seconds by default, since all tests wait for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.domain import keyspace
from app.domain.contract import JobOutcome, JobStatus
from app.domain.errors import PalimpsestError, StaleEpoch, VersionExists
from app.domain.failpoints import Point
from app.domain.log.edit_log import EditLog
from tests.support.service.service import MODEL, Nursery, RunningService
from tests.support.turns import done
from tests.support.worker_bench import batch
from tests.support.worker_process import RedisServer, until
from workers.host.host_settings import HostSettings
from workers.host.model_host import ModelHost

SLOW, LONG = 100, 1000
"""Gradient steps of a job that is still running when something happens to Redis, and for long after."""
OUTAGE_S = float(os.environ.get("PALIMPSEST_OUTAGE_S", "2"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.client.close()
    server.stop()


@pytest.fixture
def service(
    nursery: Nursery, server: RedisServer, model: Path, statistics: Path, tmp_path: Path
) -> Iterator[RunningService]:
    service = RunningService(nursery, server.url, model, statistics, tmp_path)
    service.start()
    yield service
    service.close()


def accepted(service: RunningService, subject: str, steps: int = 2) -> str:
    """Post an edit; its job's id."""
    response = service.sent("POST", "/edits", body(subject, steps))
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def body(subject: str, steps: int = 2) -> dict[str, Any]:
    fact = {"subject": subject, "prompt": "{} is a city in", "object": "Japan"}
    # A rate this small never converges, so the job takes all its steps.
    return {"facts": [fact], "unheld": "keep", "hyperparameters": {"v_num_grad_steps": steps, "v_lr": 1e-6}}


def waiting(service: RunningService) -> list[str]:
    """Accepted jobs, none of them ended, most of them not begun; their worker is dead."""
    jobs = [accepted(service, "Lyon", SLOW), *(accepted(service, subject) for subject in ("Kyoto", "Oslo"))]
    service.kill()
    assert jobs_of_versions(service) == []
    return jobs


def jobs_of_versions(service: RunningService) -> list[str | None]:
    return [manifest.job for manifest in EditLog(service.data / "log", MODEL).manifests()]


def until_running(service: RunningService, job: str) -> None:
    until(lambda: service.job(job).progress is not None, f"{job} does not run")


def all_applied(service: RunningService, jobs: list[str]) -> None:
    """Each job has made one version, in their order, and says so."""
    assert [service.ended(job).version for job in jobs] == list(range(1, len(jobs) + 1))
    assert jobs_of_versions(service) == jobs


@contextmanager
def away(server: RedisServer) -> Iterator[None]:
    """Redis ends as by a power cut, and comes back with what it has on disk."""
    server.kill()
    try:
        yield
    finally:
        server.start()


class TestKilledAndRestarted:
    def test_before_the_pop(self, service: RunningService, server: RedisServer) -> None:
        jobs = waiting(service)
        with away(server):
            pass
        all_applied(service, jobs)

    def test_in_the_job_and_back_before_its_end(self, service: RunningService, server: RedisServer) -> None:
        jobs = [accepted(service, "Lyon", SLOW), accepted(service, "Kyoto")]
        until_running(service, jobs[0])
        with away(server):
            assert jobs_of_versions(service) == []
        all_applied(service, jobs)

    def test_at_its_end(self, service: RunningService, server: RedisServer) -> None:
        service.kill()
        service.start(f"{Point.RESULT_BEFORE}=stop")
        jobs = [accepted(service, "Lyon"), accepted(service, "Kyoto")]
        until(lambda: jobs_of_versions(service) == jobs[:1], "the first job does not commit")
        with away(server):
            service.resume()
        all_applied(service, jobs)

    def test_and_so_is_the_worker_at_the_same_time(self, service: RunningService, server: RedisServer) -> None:
        jobs = [accepted(service, "Lyon", SLOW), accepted(service, "Kyoto")]
        until_running(service, jobs[0])
        with away(server):
            service.kill()
        all_applied(service, jobs)


def test_away_for_long(service: RunningService, server: RedisServer) -> None:
    jobs = [accepted(service, "Lyon", SLOW), accepted(service, "Kyoto")]
    until_running(service, jobs[0])
    with away(server):
        back = time.monotonic() + OUTAGE_S
        while time.monotonic() < back:
            refused = service.sent("POST", "/edits", body("Oslo"))
            assert (refused.status_code, refused.json()["code"]) == (503, "redis_unavailable")
            assert service.sent("GET", "/healthz").status_code == 200
            time.sleep(0.2)
        asked = service.sent("POST", "/query", {"prompts": [{"prompt": "Lyon is"}]})
        assert (asked.status_code, asked.json()["code"]) == (503, "redis_unavailable")
        until(lambda: jobs_of_versions(service) == jobs[:1], "the running job, which needs no Redis, does not commit")
        assert service.got(f"/models/{MODEL}/facts").json()["version"] == 1
    all_applied(service, jobs)


def test_out_of_memory_in_a_job(service: RunningService, server: RedisServer) -> None:
    jobs = [accepted(service, "Lyon", SLOW), accepted(service, "Kyoto")]
    until_running(service, jobs[0])
    server.client.config_set("maxmemory", 1)
    try:
        refused = service.sent("POST", "/edits", body("Oslo"))
        assert (refused.status_code, refused.json()["code"]) == (503, "redis_unavailable")
        until(lambda: jobs_of_versions(service) == jobs[:1], "the job does not commit")
        assert service.job(jobs[0]).status is JobStatus.SUCCEEDED
    finally:
        server.client.config_set("maxmemory", 0)
    all_applied(service, jobs)


def test_flushed_with_jobs_waiting_and_no_worker(service: RunningService, server: RedisServer) -> None:
    jobs = waiting(service)
    server.client.flushall()
    all_applied(service, jobs)


def test_flushed_with_jobs_waiting_of_which_one_is_then_cancelled(service: RunningService, server: RedisServer) -> None:
    first, second, third = waiting(service)
    server.client.flushall()
    assert service.sent("POST", f"/jobs/{second}/cancel").status_code == 202
    assert [service.ended(job).status for job in (first, second, third)] == ["succeeded", "cancelled", "succeeded"]
    assert jobs_of_versions(service) == [first, third]


def test_flushed_with_a_job_at_its_commit_which_is_then_cancelled(service: RunningService, server: RedisServer) -> None:
    """It is not told to be cancelled while its worker, of which Redis knows nothing any more, may commit it."""
    service.kill()
    service.start(f"{Point.COMMIT_BEFORE}=stop")
    job = accepted(service, "Lyon")
    service.until_stopped()
    server.client.flushall()
    answer = service.sent("POST", f"/jobs/{job}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    service.resume()
    all_applied(service, [job])


def test_queued_twice_at_the_same_time(service: RunningService, server: RedisServer) -> None:
    """As when a flush, and what was accepted being queued again, meet a worker that is at it."""
    jobs = [accepted(service, "Lyon", SLOW), accepted(service, "Kyoto")]
    until_running(service, jobs[0])
    server.client.lpush(f"rq:queue:{keyspace.queue(MODEL)}", jobs[0])
    all_applied(service, jobs)


def test_two_leaders_that_run_the_same_job_at_the_same_time_commit_it_once(model: Path, tmp_path: Path) -> None:
    """On a store that has no lock, so that an overtaken leader does not know of it yet.

    It learns of it from the newer epoch as it commits, or from the committed job if it comes late.
    """
    hosts = [ModelHost.open(_on_a_store(model, tmp_path, epoch)) for epoch in (1, 2)]
    for host in hosts:
        host.lead()

    def run(host: ModelHost) -> JobOutcome | PalimpsestError:
        try:
            return done(host, "one", batch())
        except (StaleEpoch, VersionExists) as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(run, hosts))
    [winner] = [end for end in ends if isinstance(end, JobOutcome)]
    assert (winner.status, winner.version) == (JobStatus.SUCCEEDED, 1)
    assert ends[1] is winner
    assert isinstance(ends[0], StaleEpoch | VersionExists)
    assert [manifest.job for manifest in hosts[0].log.manifests()] == ["one"]
    assert done(hosts[1], "one", batch()) == winner  # and later
    for host in hosts:
        host.close()


def _on_a_store(model: Path, data: Path, epoch: int) -> HostSettings:
    return HostSettings(
        source=str(model),
        name=MODEL,
        log_root=f"memory://{data}",
        data_dir=data,
        epoch_hint=lambda: epoch,
        preset=model / "preset.json",
    )


def test_restarted_under_a_running_job_which_is_then_cancelled_and_followed_by_another(
    service: RunningService, server: RedisServer
) -> None:
    """Case T25 of the field: the cancel is obeyed, the job ends, and the worker takes the next one."""
    long = accepted(service, "Lyon", LONG)
    until_running(service, long)
    with away(server):
        pass
    until(lambda: service.sent("POST", f"/jobs/{long}/cancel").status_code in (200, 202), "it is not cancelled")
    following = accepted(service, "Kyoto")
    assert service.ended(long).status is JobStatus.CANCELLED
    assert service.ended(following).version == 1
    assert jobs_of_versions(service) == [following]


@pytest.mark.parametrize("most", [6, 9, 12])
def test_at_its_limit_of_connections(service: RunningService, server: RedisServer, most: int) -> None:
    """Case T25 of the field: elsewhere a job that is popped then is in no registry."""
    jobs = [accepted(service, "Lyon", SLOW), accepted(service, "Kyoto")]
    until_running(service, jobs[0])
    before = server.client.config_get("maxclients")["maxclients"]
    assert before is not None
    server.client.config_set("maxclients", most)
    server.client.client_kill_filter(_type="normal", skipme=True)  # so that all of them have to connect again
    time.sleep(OUTAGE_S)
    server.client.config_set("maxclients", before)
    all_applied(service, jobs)

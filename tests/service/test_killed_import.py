"""A front end that is killed in the midst of an import: sent again under its key, every fact is queued, once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from app.domain import keyspace
from tests.support.front_end_process import front_end
from tests.support.worker_end import WorkerEnd

MODEL, CITIES = "atlas", ("Lyon", "Oslo", "Quito")
TABLE = "subject,prompt,object\n" + "".join(f"{city},The country where {city} lies is,Japan\n" for city in CITIES)
HEAD = {"Idempotency-Key": "cities", "Content-Type": "text/csv"}
ONE_BY_ONE = {"PALIMPSEST_MAX_FACTS": "1"}
"""So that each fact is a batch, and a job, of its own."""


@pytest.fixture
def worker(redis_url: str) -> Iterator[WorkerEnd]:
    with Redis.from_url(redis_url) as redis, WorkerEnd() as end:
        redis.flushall()
        end.join(redis, MODEL)
        yield end


def send(url: str) -> httpx.Response:
    return httpx.post(f"{url}/edits/import", content=TABLE, headers=HEAD, timeout=60.0, trust_env=False)


def queued(url: str) -> list[str]:
    """The jobs of the import, all of it."""
    reply = send(url)
    assert reply.status_code == 202, reply.text
    assert reply.json()["stopped"] is None
    return [job["id"] for job in reply.json()["jobs"]]


def let_keys_go(redis_url: str) -> None:
    """What the killed front end was at counts as in flight for some minutes, and is refused so long; they are over."""
    with Redis.from_url(redis_url) as redis:
        for name in redis.scan_iter(keyspace.idempotency("*")):
            if b" " in (redis.get(name) or b""):  # held: the fingerprint, and whose it is
                redis.delete(name)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("point", ["log.write.before", "log.write.after", "log.fsync.before", "log.fsync.after"])
def test_is_sent_again(redis_url: str, tmp_path: Path, point: str, nth: int) -> None:
    trap = {"PALIMPSEST_FAILPOINTS": f"{point}=kill:{nth}"}
    with front_end(redis_url, tmp_path, **ONE_BY_ONE, **trap) as (process, url):
        with pytest.raises(httpx.TransportError):
            send(url)
        assert process.wait(30) == -signal.SIGKILL
    let_keys_go(redis_url)
    with front_end(redis_url, tmp_path, **ONE_BY_ONE) as (_, url):
        jobs = queued(url)
        assert len(set(jobs)) == len(CITIES)
        listed = httpx.get(f"{url}/jobs", timeout=60.0, trust_env=False).raise_for_status().json()["jobs"]
        assert sorted(job["id"] for job in listed) == sorted(jobs)
        assert {job["status"] for job in listed} == {"queued"}
        assert queued(url) == jobs
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        assert sorted(redis.lrange(f"rq:queue:{keyspace.queue(MODEL)}", 0, -1)) == sorted(jobs)

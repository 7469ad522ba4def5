"""An import of many parts whose client is killed: sent again under its key, it goes on, and queues no fact twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from app.client import Client
from app.domain import keyspace
from tests.support.front_end_process import front_end
from tests.support.worker_end import WorkerEnd

MODEL, FACTS = "atlas", 2500
PARTS = 3
TABLE = "subject,prompt,object\n" + "".join(
    f"City {number},The country where City {number} lies is,Japan\n" for number in range(FACTS)
)


@pytest.fixture
def worker(redis_url: str) -> Iterator[WorkerEnd]:
    with Redis.from_url(redis_url) as redis, WorkerEnd() as end:
        redis.flushall()
        end.join(redis, MODEL)
        yield end


def send(url: str, file: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        "from app.cli import main; main()",
        "edit",
        str(file),
        "--url",
        url,
        "--no-wait",
        *options,
    ]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def queued(url: str) -> dict[str, int]:
    """The facts of each job that waits."""
    listed = httpx.get(f"{url}/jobs", timeout=60.0, trust_env=False).raise_for_status().json()["jobs"]
    return {job["id"]: job["facts"] for job in listed}


@pytest.mark.parametrize("killed_at", range(1, PARTS + 1))
def test_goes_on_where_it_was(worker: WorkerEnd, redis_url: str, tmp_path: Path, killed_at: int) -> None:
    """The client is killed while the service looks at one of the parts."""
    file, asked = tmp_path / "facts.csv", list[str]()
    file.write_text(TABLE)
    with front_end(redis_url, tmp_path) as (_, url):
        first = send(url, file)

        def look(body: str) -> tuple[int, str]:
            asked.append(body)
            if len(asked) == killed_at:
                os.kill(first.pid, signal.SIGKILL)
            return 204, ""

        worker.answers["/check"] = look
        _, told = first.communicate(timeout=120)
        assert first.returncode == -signal.SIGKILL, told
        [key] = {word for line in told.splitlines() if (word := key_in(line))}
        again = send(url, file, "--idempotency-key", key)
        shown, told = again.communicate(timeout=120)
        assert again.returncode == 0, shown + told
        assert "2,000 of 2,500 facts sent." in told
        assert sorted(queued(url).values()) == [500, 1000, 1000]
        before = queued(url)
        with Client(url) as client:
            assert client.import_file(file, idempotency_key=key, unheld="drop").queued == FACTS
            assert queued(url) == before
            client.import_file(file)  # a new import of the same facts, as one may want after a rollback
        assert len(queued(url)) == 2 * PARTS
    with Redis.from_url(redis_url) as redis:
        assert redis.llen(f"rq:queue:{keyspace.queue(MODEL)}") == 2 * PARTS


def key_in(line: str) -> str | None:
    """The key that a line says to go on with."""
    before, option, rest = line.partition("--idempotency-key ")
    return rest.split()[0] if option and before else None

"""The front end, started as its image starts it, is told to stop: what is open ends, in bounded time."""

from __future__ import annotations

import ast
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from redis import Redis

from app.local.stack import GRACE_S
from tests.support.dockerfiles import all_of
from tests.support.front_end_process import front_end
from tests.support.worker_end import WorkerEnd
from tests.support.worker_process import until

A_FEW_S = 10.0
QUESTION = {"prompts": [{"prompt": "Lyon lies in"}]}


@pytest.fixture
def worker(redis_url: str) -> Iterator[WorkerEnd]:
    with Redis.from_url(redis_url) as redis, WorkerEnd() as end:
        redis.flushall()
        end.join(redis, "atlas")
        yield end


def ask(url: str) -> int:
    try:
        return httpx.post(f"{url}/query", json=QUESTION, timeout=60.0, trust_env=False).status_code
    except httpx.TransportError:
        return 0


def test_what_is_answered_soon_is_answered_whole(redis_url: str, worker: WorkerEnd, tmp_path: Path) -> None:
    worker.answers_from(1)
    worker.delay("/probe", 3.0)
    with front_end(redis_url, tmp_path) as (process, url), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, url)
        until(lambda: bool(worker.asked), "it is not asked")
        process.send_signal(signal.SIGTERM)
        assert asked.result() == 200
        assert process.wait(A_FEW_S) in (0, -signal.SIGTERM)
        assert ask(url) == 0, "nobody listens any more"


def test_what_would_take_long_is_cut_off_in_bounded_time(redis_url: str, worker: WorkerEnd, tmp_path: Path) -> None:
    with worker.silence("/probe"), front_end(redis_url, tmp_path) as (process, url), ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, url) for _ in range(8)]
        until(lambda: len(worker.asked) == 8, "it is not asked")
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert process.wait(GRACE_S + A_FEW_S) in (0, -signal.SIGTERM)
        assert time.monotonic() - started >= GRACE_S - 1, "they had their time"
        assert {each.result() for each in asked} <= {0, 500, 503}


def test_the_image_and_the_local_service_leave_open_requests_as_long() -> None:
    [cmd] = all_of("api", "CMD")
    command = ast.literal_eval(cmd)
    assert command[command.index("--timeout-graceful-shutdown") + 1] == str(GRACE_S)

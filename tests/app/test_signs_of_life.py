"""Workers that say nothing, by real sockets: they get no questions, and who waits for one is cut off."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest
from redis import Redis

from app.roster import Roster
from app.signs_of_life import INTERVAL_S, SignsOfLife
from tests.support.worker_end import WorkerEnd, card, join
from tests.support.worker_process import until

SILENT_S = 0.5


@pytest.fixture
def signs(redis: Redis) -> Iterator[SignsOfLife]:
    with SignsOfLife(Roster(redis), SILENT_S) as signs:
        yield signs


@pytest.fixture
def http(signs: SignsOfLife) -> Iterator[httpx.Client]:
    with httpx.Client(event_hooks={"request": [signs.admit]}, timeout=30.0, trust_env=False) as client:
        yield client


@pytest.fixture
def silent() -> Iterator[str]:
    """Where connections are taken by the system, and nobody answers: as with a process that is stopped."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_who_waits_for_a_silent_worker_is_cut_off(redis: Redis, http: httpx.Client, silent: str) -> None:
    join(redis, card("atlas", url=silent))
    started = time.monotonic()
    with pytest.raises(httpx.TransportError) as cut:
        http.post(f"{silent}/probe", json={})
    assert not isinstance(cut.value, httpx.TimeoutException)
    assert time.monotonic() - started < 10


def test_a_silent_worker_is_not_even_connected_to(redis: Redis, http: httpx.Client, silent: str) -> None:
    join(redis, card("atlas", url=silent))

    def refused() -> bool:
        with pytest.raises(httpx.TransportError) as failed:
            http.post(f"{silent}/probe", json={})
        return isinstance(failed.value, httpx.ConnectError)

    until(refused, "it is connected to", 20)


def test_a_worker_that_answers_or_refuses_is_left_alone(redis: Redis, http: httpx.Client) -> None:
    with WorkerEnd() as end, end.silence("/probe"):
        end.join(redis, "atlas")
        time.sleep(4 * SILENT_S)
        assert http.post(f"{end.url}/check", content="{}").status_code == 204
    join(redis, card("atlas", "gone", url=end.url))
    time.sleep(4 * SILENT_S)
    with pytest.raises(httpx.ConnectError, match="refused"):
        http.post(f"{end.url}/probe", json={})


def test_a_long_answer_of_a_worker_that_gives_signs_of_life_is_waited_for(redis: Redis, http: httpx.Client) -> None:
    with WorkerEnd() as end:
        end.join(redis, "atlas")
        end.delay("/probe", 6 * SILENT_S)
        assert http.post(f"{end.url}/probe", content="{}").status_code == 204


def test_at_the_end_nobody_is_left_waiting(redis: Redis, silent: str) -> None:
    join(redis, card("atlas", url=silent))
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        signs = stack.enter_context(SignsOfLife(Roster(redis), 60.0))
        with httpx.Client(event_hooks={"request": [signs.admit]}, timeout=60.0, trust_env=False) as http:
            waiting = pool.submit(http.post, f"{silent}/probe", json={})
            time.sleep(3 * INTERVAL_S)  # it is asked for a sign of life too
            started = time.monotonic()
            stack.close()
            assert isinstance(waiting.exception(), httpx.TransportError)
            assert time.monotonic() - started < 10

"""A worker that is stopped (SIGSTOP) says nothing, and keeps its connections: after 3 s it gets no questions."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from app.domain.contract import WorkerCard
from app.main import create_app
from app.roster import Roster
from app.settings import Settings
from tests.support.worker_process import RedisServer, WorkerProcess, until, worker_process

NO_LONGER_S = 3.0
QUESTION = {"prompts": [{"prompt": "Lyon is a city in"}], "model": "tiny"}
AUTO = {"PALIMPSEST_WORKER_ROLE": "auto", "PALIMPSEST_WORKER_LEASE_S": "2"}


class Fleet:
    """A front end, Redis, and workers that are told apart."""

    def __init__(self, stack: ExitStack, model: Path, data: Path) -> None:
        self.redis = RedisServer(data)
        self.redis.start()
        stack.callback(self.redis.kill)
        stack.callback(self.redis.client.close)
        self._stack, self._model, self._data = stack, model, data
        settings = Settings(redis_url=self.redis.url, data_dir=data, recovery_interval_s=3600, allow_open=True)
        self.http = stack.enter_context(TestClient(create_app(settings), raise_server_exceptions=False))

    def join(self) -> tuple[WorkerProcess, WorkerCard]:
        before = {card.worker for card in self.live()}
        process = self._stack.enter_context(worker_process(self.redis, self._model, self._data, **AUTO))
        until(lambda: len(self.live()) > len(before), "it does not come")
        return process, next(card for card in self.live() if card.worker not in before)

    def live(self) -> list[WorkerCard]:
        return Roster(self.redis.client).now()

    def ask(self) -> tuple[int, float]:
        """The status of one question, and how long it took."""
        started = time.monotonic()
        status = self.http.post("/query", json=QUESTION).status_code
        return status, time.monotonic() - started


@pytest.fixture
def fleet(model: Path, tmp_path: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(stack, model, tmp_path)


def taken(card: WorkerCard) -> float:
    """Probes that a worker has begun to answer."""
    text = httpx.get(f"{card.url}/metrics", timeout=30.0).text
    return sum(
        float(line.split()[-1])
        for line in text.splitlines()
        if line.startswith('palimpsest_worker_questions_total{kind="probe"}')
    )


def test_questions_go_to_the_other_worker_until_it_goes_on(fleet: Fleet) -> None:
    stopped, card = fleet.join()
    fleet.join()
    assert all(fleet.ask()[0] == 200 for _ in range(4))
    assert taken(card) > 0
    stopped.process.send_signal(signal.SIGSTOP)
    since = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        first = list(pool.map(lambda _: fleet.ask(), range(8)))  # some are sent to the stopped one
    assert [status for status, _ in first] == [200] * 8
    assert max(seconds for _, seconds in first) < NO_LONGER_S + 1
    time.sleep(max(0.0, since + NO_LONGER_S - time.monotonic()))
    assert card.worker in {each.worker for each in fleet.live()}, "its card is still there"
    later = [fleet.ask() for _ in range(8)]
    assert [status for status, _ in later] == [200] * 8
    assert max(seconds for _, seconds in later) < 1.5, "none waited for a sign of life"
    stopped.process.send_signal(signal.SIGCONT)
    before = taken(card)

    def asked_again() -> bool:
        assert fleet.ask()[0] == 200
        return taken(card) > before

    until(asked_again, "it gets no questions any more", 30)


def test_a_question_to_the_only_worker_ends_as_unavailable(fleet: Fleet) -> None:
    stopped, _ = fleet.join()
    assert fleet.ask()[0] == 200
    stopped.process.send_signal(signal.SIGSTOP)
    status, seconds = fleet.ask()
    assert (status, seconds < NO_LONGER_S + 1) == (503, True)
    status, seconds = fleet.ask()
    assert (status, seconds < 1) == (503, True)
    stopped.process.send_signal(signal.SIGCONT)
    until(lambda: fleet.ask()[0] == 200, "it does not answer again", 30)

"""A worker is told to stop at any moment of its life: it ends with status 0, soon, and nothing is left half done."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.domain import keyspace
from app.domain.failpoints import Point
from app.domain.log.edit_log import EditLog
from tests.support.service.service import MODEL, Nursery
from tests.support.worker_process import Edits, RedisServer, until

SOON_S = 25.0
"""A stop takes no longer: twice the five seconds after which a silent Redis is given up, and a busy machine."""
SLOW = 1000
"""Gradient steps of a job that nobody waits for."""


@dataclass
class Life:
    """One worker from its start to its end, with a Redis of its own."""

    nursery: Nursery
    redis: RedisServer
    data: Path
    options: dict[str, object]
    failpoints: str = ""
    pid: int = 0
    ended: list[int] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)

    def begin(self) -> None:
        arguments = [f"--{name}={value}" for name, value in self.options.items()]
        self.pid = self.nursery.start(arguments, self.failpoints, self.data / "worker.log")

    def serve(self) -> None:
        self.begin()
        until(lambda: bool(self.redis.client.smembers(keyspace.WORKERS)) or self.over(), "no worker")

    def until_said(self, words: str) -> None:
        until(lambda: words in (self.data / "worker.log").read_text(), f"the worker does not say {words!r}")

    def until_at_failpoint(self) -> None:
        stat = Path(f"/proc/{self.pid}/stat")
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it does not come to its failpoint")

    def over(self) -> bool:
        if not self.ended and (status := self.nursery.ended(self.pid, wait=False)) is not None:
            self.ended.append(status)
        return bool(self.ended)

    def told(self, *numbers: signal.Signals) -> int:
        """The status with which it ends, soon after these signals."""
        for number in numbers:
            os.kill(self.pid, number)
        until(self.over, "it does not end", SOON_S)
        return self.ended[0]

    def close(self) -> None:
        if self.pid and not self.over():
            os.kill(self.pid, signal.SIGKILL)
            self.nursery.ended(self.pid, wait=True)
        self.stack.close()


@pytest.fixture
def life(nursery: Nursery, model: Path, statistics: Path, tmp_path: Path) -> Iterator[Life]:
    redis = RedisServer(tmp_path)
    redis.start()
    options: dict[str, object] = {
        "model": model,
        "name": MODEL,
        "redis-url": redis.url,
        "data-dir": tmp_path,
        "preset": model / "preset.json",
        "statistics": statistics,
    }
    life = Life(nursery, redis, tmp_path, options)
    yield life
    life.close()
    redis.client.close()
    redis.kill()


def waiting_for_redis(life: Life) -> None:
    life.redis.stop()
    life.begin()
    until((life.data / "worker.log").exists, "it does not begin")
    life.until_said("waiting for Redis")


def loading(life: Life) -> None:
    """It reads its hyperparameters from a pipe into which nobody writes."""
    life.options["preset"] = pipe = life.data / "preset.json"
    os.mkfifo(pipe)
    life.begin()
    life.stack.callback(os.close, os.open(pipe, os.O_WRONLY))  # is open once the worker opens it too


def idle(life: Life) -> None:
    life.serve()


def following(life: Life) -> None:
    life.options["role"] = "replica"
    life.serve()


def about_to_lead(life: Life) -> None:
    life.redis.client.set(keyspace.lease(MODEL), "another")
    life.options["role"] = "auto"
    life.serve()


def in_a_job(life: Life) -> None:
    life.serve()
    Edits(life.redis, MODEL).submit("one", steps=SLOW)
    Edits(life.redis, MODEL).until_running("one")


def idle_while_redis_is_away(life: Life) -> None:
    life.serve()
    life.redis.stop()
    life.until_said("waiting for Redis")


def idle_as_redis_goes_away(life: Life) -> None:
    life.serve()
    life.redis.stop()


def idle_while_redis_is_silent(life: Life) -> None:
    life.serve()
    life.redis.suspend()


BEFORE_IT_SERVES = (waiting_for_redis, loading)
WITH_REDIS = (idle, following, about_to_lead, in_a_job)
WITHOUT_REDIS = (idle_while_redis_is_away, idle_as_redis_goes_away, idle_while_redis_is_silent)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("moment", [*BEFORE_IT_SERVES, *WITH_REDIS, *WITHOUT_REDIS])
def test_a_signal_at_any_moment_ends_a_worker_in_order(
    life: Life, moment: Callable[[Life], None], number: signal.Signals
) -> None:
    moment(life)
    assert life.told(number) == 0
    if moment in WITH_REDIS:
        assert life.redis.client.smembers(keyspace.WORKERS) == set()
        assert life.redis.client.get(keyspace.lease(MODEL)) == (b"another" if moment is about_to_lead else None)


@pytest.mark.parametrize("moment", [loading, idle, in_a_job])
def test_many_signals_end_it_in_order_too(life: Life, moment: Callable[[Life], None]) -> None:
    moment(life)
    assert life.told(*[signal.SIGTERM, signal.SIGINT] * 20) == 0


@pytest.mark.parametrize(
    "point", [Point.COMMIT_BEFORE, Point.PUBLISH_BEFORE, Point.PUBLISH_AFTER, Point.RESULT_BEFORE], ids=str
)
def test_signals_around_a_commit_interrupt_neither_it_nor_what_follows(life: Life, point: Point) -> None:
    """The worker stands still where it has come to, so that it is hit there as it goes on."""
    life.failpoints = f"{point}=stop"
    life.serve()
    Edits(life.redis, MODEL).submit("one", steps=2)
    life.until_at_failpoint()
    assert life.told(signal.SIGTERM, signal.SIGINT, signal.SIGCONT) == 0
    assert EditLog(life.data / "log", MODEL).head() == 1
    assert Edits(life.redis, MODEL).outcome("one").version == 1


def test_signals_while_it_takes_the_lead_end_it_in_order(life: Life) -> None:
    idle(life)
    assert life.told(signal.SIGTERM) == 0
    life.ended.clear()
    life.failpoints = f"{Point.LOG_WRITE_BEFORE}=stop"  # of the epoch, since the log has been begun
    life.begin()
    life.until_at_failpoint()
    assert life.told(signal.SIGTERM, signal.SIGINT, signal.SIGCONT) == 0
    assert life.redis.client.get(keyspace.lease(MODEL)) is None
    assert life.redis.client.smembers(keyspace.WORKERS) == set()

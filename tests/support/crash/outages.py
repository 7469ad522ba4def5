"""What may happen to Redis while jobs wait, run and end: killed, away, emptied, full, its file torn."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from redis.exceptions import RedisError

from app.domain.failpoints import Point
from tests.support.crash.cases import AFTERWARDS, CHANGES, FOLLOWING, Kind
from tests.support.crash.findings import BROKEN_OFF, Finding
from tests.support.crash.scene import Ground, Scene, TookTooLong, until
from tests.support.crash.trials import end_the_work, judge_survivor
from tests.support.worker_process import RedisServer

MOMENTS = (None, Point.QUEUE_POPPED, Point.TARGETS_STEP, Point.COMMIT_BEFORE, Point.PUBLISH_BEFORE, Point.RESULT_BEFORE)
"""None: before the worker begins. At each of the others it is held up while something happens to Redis."""

MOMENT_S = 1.5
"""For how long Redis is away or full, unless an outage says otherwise."""

TORN_BYTES = 5


class Trouble(StrEnum):
    """What happens to Redis."""

    RESTARTED = "killed and restarted"
    AWAY = "away"
    FLUSHED = "flushed"
    FULL = "out of memory"
    TORN = "torn append-only file"


@dataclass(frozen=True, slots=True)
class Outage:
    """``trouble`` at ``moment``; if Redis is away, for so many seconds."""

    trouble: Trouble
    moment: Point | None
    seconds: float = MOMENT_S

    def __str__(self) -> str:
        return f"Redis {self.trouble} at {self.moment or 'the start'}"

    @property
    def row(self) -> tuple[str, str]:
        """Its place in the table."""
        long = f" for {self.seconds:.0f} s" if self.trouble is Trouble.AWAY else ""
        return f"Redis at {self.moment or 'the start'}", f"{self.trouble}{long}"

    def meet(self, ground: Ground) -> Finding:
        """Have it happen."""
        start = time.monotonic()
        finding = Finding(self.row, str(self))
        with _server() as (server, files), ground.scene(server.url) as scene:
            scene.submit(CHANGES[Kind.EDIT], FOLLOWING)
            try:
                self._happen(scene, server, files, finding)
                end_the_work(scene, finding)
            except BROKEN_OFF as error:
                finding.losses.append(f"{type(error).__name__}: {error}")
            finding.output = scene.output() if finding.bad else ""
        finding.seconds = time.monotonic() - start
        return finding

    def _happen(self, scene: Scene, server: RedisServer, files: Path, finding: Finding) -> None:
        trap = "" if self.moment is None else f"{self.moment}=stop"
        strike = _STRIKES[self.trouble]
        if self.moment is None:
            strike(self, scene, server, files, lambda: None)
            worker = scene.fork("first")
        else:
            worker = scene.fork("first", trap)
            until(worker.stopped_or_ended, "the worker was not stopped")
            strike(self, scene, server, files, partial(worker.signal, signal.SIGCONT))
        until(lambda: worker.poll() is not None or scene.all_ended(), "neither worker nor jobs come to an end")
        finding.read_outcome(scene)
        judge_survivor(scene, worker, finding)

    def _restarted(self, scene: Scene, server: RedisServer, files: Path, go_on: Callable[[], None]) -> None:
        server.kill()
        server.start()
        go_on()

    def _away(self, scene: Scene, server: RedisServer, files: Path, go_on: Callable[[], None]) -> None:
        server.kill()
        go_on()
        time.sleep(self.seconds)
        server.start()

    def _flushed(self, scene: Scene, server: RedisServer, files: Path, go_on: Callable[[], None]) -> None:
        server.client.flushall()
        go_on()

    def _full(self, scene: Scene, server: RedisServer, files: Path, go_on: Callable[[], None]) -> None:
        server.client.config_set("maxmemory", "1")
        try:
            scene.submit(AFTERWARDS)
        except RedisError:  # as it must be: not accepted
            go_on()
            time.sleep(self.seconds)
            server.client.config_set("maxmemory", "0")
        else:
            raise TookTooLong("a job was accepted that Redis did not take")

    def _torn(self, scene: Scene, server: RedisServer, files: Path, go_on: Callable[[], None]) -> None:
        server.kill()
        [records] = (path for path in files.rglob("*.aof") if path.stat().st_size)
        records.write_bytes(records.read_bytes()[:-TORN_BYTES])
        server.start()
        go_on()


_STRIKES = {
    Trouble.RESTARTED: Outage._restarted,
    Trouble.AWAY: Outage._away,
    Trouble.FLUSHED: Outage._flushed,
    Trouble.FULL: Outage._full,
    Trouble.TORN: Outage._torn,
}


def outages(away_s: float) -> list[Outage]:
    """Every trouble at every moment; and Redis away for ``away_s`` in the middle of a job."""
    every = [Outage(trouble, moment) for moment in MOMENTS for trouble in Trouble]
    return [*every, Outage(Trouble.AWAY, Point.TARGETS_STEP, away_s)]


@contextmanager
def _server() -> Iterator[tuple[RedisServer, Path]]:
    """A Redis server of one's own, and the folder of its files."""
    with tempfile.TemporaryDirectory(prefix="crash-redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            yield server, Path(folder)
        finally:
            server.client.close()
            server.kill()

"""Leaders that are killed while they write a snapshot and thin the others, each in a fork of one process.

``python -m tests.support.killed_snapshots MODEL ROOT``: makes a log in ``ROOT/ground``; then, for each time that a
snapshot of its newest version comes to a failpoint, a copy of it whose leader was killed there, ``ROOT/<point>:<nth>``.
Prints the names of the copies.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

from app.domain.failpoints import Action, Point, armed
from tests.support.crash.__main__ import ready_to_fork, say
from tests.support.turns import done
from tests.support.worker_bench import batch, opened
from workers.host.model_host import ModelHost
from workers.versions.snapshots import Snapshots

CITIES = ("Lyon", "Oslo", "Quito", "Perth", "Turin", "Accra")
HEAD = len(CITIES)
BEFORE, AFTER = [2, 3, 4, 5], [2, 4, 5, 6]
"""The snapshots of the log, and those that are there when one of its newest version has been written."""

NEVER = 1_000_000


def keep(host: ModelHost, version: int) -> None:
    """Write a snapshot of a version as a leader does, and thin the others."""
    Snapshots(host.log, 1).jumped(host.live, version, host.epoch)


def main() -> int:
    """Make the log, count, kill."""
    model, root = map(Path, sys.argv[1:])
    ready_to_fork()
    with opened(model, root / "ground", snapshot_every=NEVER) as host:
        for number, city in enumerate(CITIES, start=1):
            done(host, f"edit-{number}", batch(city))
        for version in range(1, HEAD):
            keep(host, version)
        assert host.log.snapshots() == BEFORE
    for point, times in _counted(model, root).items():
        for nth in range(1, times + 1):
            _killed(model, root, f"{point}:{nth}", f"{point}={Action.KILL}:{nth}")
    return 0


def _counted(model: Path, root: Path) -> dict[Point, int]:
    shutil.copytree(root / "ground", root / "counted")
    with opened(model, root / "counted", epoch=2, snapshot_every=NEVER) as host:
        with armed(",".join(f"{point}={Action.COUNT}" for point in Point)) as traps:
            keep(host, HEAD)
        assert host.log.snapshots() == AFTER
    return {point: trap.reached for point, trap in traps.items() if trap.reached}


def _killed(model: Path, root: Path, name: str, trap: str) -> None:
    shutil.copytree(root / "ground", root / name)
    if (child := os.fork()) == 0:
        with opened(model, root / name, epoch=2, snapshot_every=NEVER) as host, armed(trap):
            keep(host, HEAD)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    say(name)


if __name__ == "__main__":
    sys.exit(main())

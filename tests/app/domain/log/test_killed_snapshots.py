"""A leader that is killed while it writes a snapshot, or while it thins those before: at every step of both."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.domain.failpoints import Point, armed
from app.domain.log.check import LogCheck
from app.domain.log.edit_log import EditLog
from tests.app.domain.log.test_snapshots import snapshot, way
from tests.support.logs import MODEL, log_with

KEEPERS = """
import os, shutil, sys
from pathlib import Path
from app.domain.failpoints import armed
from tests.app.domain.log.test_killed_snapshots import keep

for step in sys.argv[2:]:
    root = Path(sys.argv[1]) / step
    shutil.copytree(Path(sys.argv[1]) / "before", root)
    if (child := os.fork()) == 0:
        with armed(step.replace(":", "=kill:")):
            keep(root)
        os._exit(0)
    print(step, -os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
VERSIONS = 9
STAY = [1, 5, 7, 8, 9]


def keep(root: Path) -> None:
    """What a leader does when a snapshot is due."""
    log = EditLog(root, MODEL)
    with log.lead() as epoch:
        snapshot(log, VERSIONS)
        log.thin_snapshots(epoch)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of nine versions with a snapshot of each but the last, which is due."""
    root = tmp_path_factory.mktemp("killed") / "before"
    log = log_with(root, VERSIONS)
    for version in range(1, VERSIONS):
        snapshot(log, version)
    return root


@pytest.fixture(scope="module")
def steps(before: Path) -> list[str]:
    """All steps of it, each time that it is reached."""
    counted = before.with_name("counted")
    shutil.copytree(before, counted)
    with armed(",".join(f"{point}=count" for point in Point)) as traps:
        keep(counted)
    assert EditLog(counted, MODEL).snapshots() == STAY
    return [f"{point}:{nth}" for point, trap in traps.items() for nth in range(1, trap.reached + 1)]


def test_both_are_among_the_steps(steps: list[str]) -> None:
    points = {step.partition(":")[0] for step in steps}
    assert points >= {Point.LOG_WRITE_BEFORE, Point.LOG_RENAME_BEFORE, Point.LOG_RENAME_AFTER}
    assert points >= {Point.DISCARD_BEFORE, Point.DISCARD_AFTER}
    assert sum(step.startswith(Point.DISCARD_BEFORE) for step in steps) == VERSIONS - len(STAY)


def test_every_version_can_be_put_together_as_before_and_the_next_one_ends_it(before: Path, steps: list[str]) -> None:
    root = before.parent
    command = [sys.executable, "-c", KEEPERS, str(root), *steps]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split("\n")[:-1] == [f"{step} {signal.SIGKILL}" for step in steps]
    terms = [EditLog(before, MODEL).replay(version).terms for version in range(VERSIONS + 1)]
    for step in steps:
        log = EditLog(root / step, MODEL)
        assert [log.replay(version).terms for version in range(VERSIONS + 1)] == terms, step
        assert set(log.snapshots()) >= set(STAY) - {VERSIONS}, step
        assert not any(each.damage for each in LogCheck(root / step, MODEL).run()), step
        keep(root / step)
        assert log.snapshots() == STAY, step
        assert way(log) == (VERSIONS, []), step
        assert not list((root / step).rglob(".*")), f"{step}: what the killed one left"

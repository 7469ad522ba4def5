"""A leader that is killed, or meets a fault, at any step of a snapshot does the log no harm; the next one goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from itertools import cycle
from pathlib import Path

import pytest

from app.domain.failpoints import Point, armed
from app.domain.log.check import LogCheck
from app.domain.log.edit_log import EditLog
from tests.support.crash.forked_worker import note_of
from tests.support.killed_snapshots import AFTER, BEFORE, HEAD, NEVER, keep
from tests.support.turns import done
from tests.support.worker_bench import batch, opened

FILES = 3
"""The state, the page's digest, the page."""

TIMES = {
    Point.LOG_WRITE_BEFORE: FILES,
    Point.LOG_WRITE_AFTER: FILES,
    Point.LOG_FSYNC_BEFORE: FILES,
    Point.LOG_FSYNC_AFTER: FILES,
    Point.LOG_DIR_FSYNC_BEFORE: 1,
    Point.LOG_DIR_FSYNC_AFTER: 1,
    Point.LOG_RENAME_BEFORE: 1,
    Point.LOG_RENAME_AFTER: 1,
    Point.LOG_PARENT_FSYNC_BEFORE: 1,
    Point.LOG_PARENT_FSYNC_AFTER: 1,
    Point.DISCARD_BEFORE: 1,
    Point.DISCARD_AFTER: 1,
}
"""How often a snapshot that makes another one spare comes to each point."""

STEPS = [f"{point}:{nth}" for point, times in TIMES.items() for nth in range(1, times + 1)]
RENAMED = ("log.rename.after:1", "log.parent_fsync.before:1", "log.parent_fsync.after:1", "discard.before:1")
FAULTS = dict(zip(STEPS, cycle(("raise", "enospc", "eio")), strict=False))


@pytest.fixture(scope="module")
def killed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log, and copies of it in which a leader was killed, each in a folder named after the step."""
    root = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.support.killed_snapshots", str(model), str(root)]
    ended = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert Counter(name.partition(":")[0] for name in ended.stdout.split()) == TIMES
    return root


def hidden(root: Path) -> list[Path]:
    return list((root / "log").rglob(".*"))


def damage(root: Path) -> list[str]:
    """What a check of the whole log finds."""
    return [named for checked in LogCheck(root / "log", "tiny").run() for named in checked.damage]


@pytest.mark.parametrize("step", STEPS)
def test_after_a_kill_a_start_is_a_full_replay_and_nothing_unfinished_is_left(
    killed: Path, model: Path, tmp_path: Path, step: str
) -> None:
    root, plain = killed / step, tmp_path / "plain"
    log = EditLog(root / "log", "tiny")
    written = BEFORE if step not in RENAMED else [*BEFORE, HEAD]
    assert log.snapshots() == (AFTER if step == "discard.after:1" else written)
    assert damage(root) == []
    assert bool(hidden(root)) == (step not in RENAMED[:3])
    shutil.copytree(root / "log", plain / "log", ignore=shutil.ignore_patterns("snapshots"))
    with opened(model, root, epoch=3, snapshot_every=1) as host, opened(model, plain, epoch=3) as replayed:
        assert note_of(host) == note_of(replayed)
        assert hidden(root) == []
        done(host, "another", batch("Pisa"))
        assert host.log.snapshots()[-1] == HEAD + 1
        assert len(host.log.snapshots()) < len([*BEFORE, HEAD, HEAD + 1]), "they were thinned again"
    assert damage(root) == []


@pytest.mark.parametrize(("step", "fault"), FAULTS.items())
def test_a_fault_that_a_leader_lives_through_costs_the_snapshot_alone(
    killed: Path, model: Path, tmp_path: Path, step: str, fault: str
) -> None:
    point, _, nth = step.partition(":")
    shutil.copytree(killed / "ground", tmp_path / "data")
    with opened(model, tmp_path / "data", epoch=2, snapshot_every=NEVER) as host:
        before = note_of(host)
        with armed(f"{point}={fault}:{nth}"):
            keep(host, HEAD)
        assert note_of(host) == before
        assert damage(tmp_path / "data") == []
        assert host.log.snapshots() in (BEFORE, [*BEFORE, HEAD], AFTER)
        done(host, "another", batch("Pisa"))
        keep(host, HEAD + 1)
        assert host.log.snapshots()[-1] == HEAD + 1
    with opened(model, tmp_path / "data", epoch=3, snapshot_every=NEVER) as again:
        assert again.version == HEAD + 1
        assert hidden(tmp_path / "data") == []

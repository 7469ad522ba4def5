"""A commit that does not come to its end leaves the log as it was."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import JobFailed
from app.domain.failpoints import Point, Tripped, armed
from app.domain.log.edit_log import EditLog
from tests.support.logs import MODEL, UPDATE, base, commit, contents, files_of, log_with

KILLED_WRITERS = """
import os, sys
from pathlib import Path
from app.domain.log.edit_log import EditLog
from app.domain.failpoints import armed
from tests.support.logs import MODEL, commit, log_with

for point in sys.argv[2:]:
    root = Path(sys.argv[1]) / point
    log_with(root, versions=1)
    if (child := os.fork()) == 0:
        log = EditLog(root, MODEL)
        with log.lead() as epoch, armed(point.replace(":", "=kill:")):
            commit(log, 2, epoch=epoch)
        os._exit(0)
    print(point, -os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

TIMES = {
    Point.LOG_WRITE_BEFORE: 3,
    Point.LOG_WRITE_AFTER: 3,
    Point.LOG_FSYNC_BEFORE: 3,
    Point.LOG_FSYNC_AFTER: 3,
    Point.LOG_DIR_FSYNC_BEFORE: 1,
    Point.LOG_DIR_FSYNC_AFTER: 1,
    Point.LOG_RENAME_BEFORE: 1,
    Point.LOG_RENAME_AFTER: 1,
    Point.LOG_PARENT_FSYNC_BEFORE: 1,
    Point.LOG_PARENT_FSYNC_AFTER: 1,
}
"""How often a commit of one file reaches each point: the file, the manifest's digest, the manifest; then the folder."""

STEPS = [(point, nth) for point, times in TIMES.items() for nth in range(1, times + 1)]
AFTER_THE_RENAME = {Point.LOG_RENAME_AFTER, Point.LOG_PARENT_FSYNC_BEFORE, Point.LOG_PARENT_FSYNC_AFTER}


def hidden(root: Path) -> list[Path]:
    return list(root.rglob(".*"))


def test_a_commit_reaches_every_point_of_the_log(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=1)
    with armed(",".join(f"{point}=count" for point in Point)) as traps:
        commit(log, 2)
    reached = {point: trap.reached for point, trap in traps.items() if trap.reached}
    assert reached == TIMES
    assert set(reached) == {point for point in Point if point.startswith("log.")}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs at version 1 whose next writer was killed, each in a folder named after the step."""
    root = tmp_path_factory.mktemp("killed")
    names = [f"{point}:{nth}" for point, nth in STEPS]
    command = [sys.executable, "-c", KILLED_WRITERS, str(root), *names]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split("\n")[:-1] == [f"{name} {signal.SIGKILL}" for name in names]
    return root


@pytest.mark.parametrize(("point", "nth"), [step for step in STEPS if step[0] not in AFTER_THE_RENAME])
def test_a_killed_writer_leaves_the_version_before(killed: Path, point: Point, nth: int) -> None:
    root = killed / f"{point}:{nth}"
    assert hidden(root)
    log = EditLog(root, MODEL)
    before = log.manifests()
    assert len(before) == 1
    assert log.find_job("job-2") is None
    with log.lead() as epoch:
        assert not hidden(root)
        assert commit(log, 2, epoch=epoch).epoch == epoch
    assert EditLog(root, MODEL).manifests()[:1] == before


@pytest.mark.parametrize("point", sorted(AFTER_THE_RENAME))
def test_a_writer_killed_after_the_rename_has_committed(killed: Path, point: Point) -> None:
    log = EditLog(killed / f"{point}:1", MODEL)
    assert log.head() == 2
    assert log.read(2, UPDATE) == contents(2)


@pytest.mark.parametrize("action", ["enospc", "eio"])
@pytest.mark.parametrize(("point", "nth"), STEPS)
def test_a_failing_disk_fails_the_commit_and_leaves_no_trace(
    tmp_path: Path, point: Point, nth: int, action: str
) -> None:
    log = log_with(tmp_path, versions=1)
    before = files_of(tmp_path)
    with armed(f"{point}={action}:{nth}"), pytest.raises(JobFailed) as caught:
        commit(log, 2)
    reason = os.strerror(errno.ENOSPC if action == "enospc" else errno.EIO)
    assert reason in caught.value.detail
    assert str(tmp_path) not in f"{caught.value.detail} {caught.value.value}"
    assert files_of(tmp_path) == before
    assert not hidden(tmp_path)
    assert log.head() == 1
    assert commit(log, 2).version == 2


@pytest.mark.parametrize(("point", "nth"), STEPS)
def test_an_unforeseen_error_leaves_no_trace(tmp_path: Path, point: Point, nth: int) -> None:
    log = log_with(tmp_path, versions=1)
    before = files_of(tmp_path)
    with armed(f"{point}=raise:{nth}"), pytest.raises(Tripped):
        commit(log, 2)
    assert files_of(tmp_path) == before
    assert not hidden(tmp_path)


@contextmanager
def full_disk(call: str, nth: int) -> Iterator[None]:
    """The nth use of a system call, from 0, finds the disk full."""
    real = getattr(os, call)
    calls = count()

    def failing(*arguments: Any, **options: Any) -> Any:
        if next(calls) == nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, failing)
        yield


@pytest.mark.parametrize("call", ["mkdir", "open", "write"])
def test_a_full_disk_fails_the_commit_and_leaves_no_trace(tmp_path: Path, call: str) -> None:
    log = log_with(tmp_path, versions=1)
    before = files_of(tmp_path)
    with full_disk(call, 0), pytest.raises(JobFailed, match="No space left on device"):
        commit(log, 2)
    assert files_of(tmp_path) == before
    assert not hidden(tmp_path)


def test_a_write_that_is_cut_short_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    log = log_with(tmp_path, versions=1)
    assert log.read(1, UPDATE) == contents(1)


def test_an_interrupted_commit_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_with(tmp_path, versions=1)
    before = files_of(tmp_path)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        commit(log, 2)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize(("call", "nth"), [("write", 0), ("write", 1), ("fsync", 4), ("replace", 1)])
def test_a_log_whose_start_failed_is_not_there_and_can_be_started(tmp_path: Path, call: str, nth: int) -> None:
    log = EditLog(tmp_path, MODEL)
    with full_disk(call, nth), pytest.raises(OSError, match="No space"):
        log.create(base())
    assert not log.exists()
    assert not hidden(tmp_path)
    assert log.create(base()) == log.base()

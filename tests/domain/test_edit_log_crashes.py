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

from app.domain.edit_log import EditLog
from app.domain.errors import EditFailed
from tests.domain.logs import MODEL, base, commit, contents, files_of, log_with

KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from tests.domain.logs import MODEL, commit
from app.domain.edit_log import EditLog

call, allowed = sys.argv[2], int(sys.argv[3])
log = EditLog(Path(sys.argv[1]), MODEL)
with log.lead() as epoch:
    real, calls = getattr(os, call), 0
    def kill_at_last(*arguments, **options):
        global calls
        calls += 1
        if calls > allowed:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    setattr(os, call, kill_at_last)
    commit(log, 2, epoch=epoch)
"""

STEPS = [
    *(("write", allowed) for allowed in range(3)),
    *(("fsync", allowed) for allowed in range(4)),
    ("rename", 0),
]
"""Every step of a commit of one file: it, the manifest's digest, the manifest, the directory, its name."""


def hidden(root: Path) -> list[Path]:
    return list(root.rglob(".*"))


@pytest.mark.parametrize(("call", "allowed"), STEPS)
def test_a_killed_writer_leaves_the_version_before(tmp_path: Path, call: str, allowed: int) -> None:
    log = log_with(tmp_path, versions=1)
    before = log.manifests()
    command = [sys.executable, "-c", KILLED_WRITER, str(tmp_path), call, str(allowed)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert hidden(tmp_path)
    for reader in (log, EditLog(tmp_path, MODEL)):
        assert reader.head() == 1
        assert reader.manifests() == before
        assert reader.find_job("job-2") is None
    with log.lead() as epoch:
        assert not hidden(tmp_path)
        assert commit(log, 2, epoch=epoch).epoch == epoch


def test_a_writer_killed_after_the_rename_has_committed(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=1)
    command = [sys.executable, "-c", KILLED_WRITER, str(tmp_path), "fsync", "4"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert log.head() == 2
    assert log.file(2, "update.safetensors").read_bytes() == contents(2)


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


@pytest.mark.parametrize(("call", "nth"), [*STEPS, ("fsync", 4), ("mkdir", 0), ("open", 0)])
def test_a_full_disk_fails_the_commit_and_leaves_no_trace(tmp_path: Path, call: str, nth: int) -> None:
    log = log_with(tmp_path, versions=1)
    before = files_of(tmp_path)
    with full_disk(call, nth), pytest.raises(EditFailed) as caught:
        commit(log, 2)
    assert "No space left on device" in caught.value.detail
    assert files_of(tmp_path) == before
    assert not hidden(tmp_path)
    assert log.head() == 1
    assert commit(log, 2).version == 2


def test_a_write_that_is_cut_short_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    log = log_with(tmp_path, versions=1)
    assert log.file(1, "update.safetensors").read_bytes() == contents(1)


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

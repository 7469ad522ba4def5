"""Snapshots shorten the way to a version, and never change where it leads."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from app.domain.errors import DamagedVersion, JobFailed, UnknownVersion
from app.domain.failpoints import armed
from app.domain.history.logged_version import LoggedVersion
from app.domain.log.edit_log import EditLog
from tests.support.logs import MODEL, commit, fact, files_of, log_with, revert, roll_back

WEIGHTS = "weights.safetensors"


def snapshot(log: EditLog, version: int, data: bytes | None = None) -> None:
    log.write_snapshot(version, {WEIGHTS: data or f"weights at {version}".encode()})


def page(root: Path, version: int) -> Path:
    return root / MODEL / "snapshots" / f"{version:08d}" / "snapshot.json"


def way(log: EditLog, version: int | None = None) -> tuple[int | None, list[int]]:
    """The snapshot that a replay starts at, and the versions that it adds."""
    replay = log.replay(version)
    head = log.head() if version is None else version
    assert replay.terms == log.history().terms(head)
    return replay.snapshot.version if replay.snapshot else None, [term.version for term in replay.rest]


def test_a_start_replays_what_came_after_the_newest_snapshot(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=5)
    assert way(log) == (None, [1, 2, 3, 4, 5])
    for version in (2, 4):
        snapshot(log, version)
    assert way(log) == (4, [5])
    assert way(log, 3) == (2, [3])
    assert way(log, 2) == (2, [])
    assert way(log, 1) == (None, [1])
    held = log.replay().snapshot
    assert held is not None
    assert held.files == {WEIGHTS: b"weights at 4"}


def test_a_rollback_starts_at_a_snapshot_of_where_it_goes(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=4)
    for version in (2, 4):
        snapshot(log, version)
    roll_back(log, 3)
    assert way(log) == (2, [3])
    roll_back(log, 0)
    assert way(log) == (None, [])


def test_a_snapshot_that_holds_a_reverted_fact_is_not_used(tmp_path: Path) -> None:
    log = log_with(tmp_path)
    for version, city in enumerate(("Lyon", "Nice", "Oslo"), start=1):
        commit(log, version, fact(city))
        snapshot(log, version)
    revert(log, (2, 0))
    assert way(log) == (1, [3])
    snapshot(log, 4)
    assert way(log) == (4, [])


@pytest.mark.parametrize("name", ["snapshot.json", "snapshot.json.sha256", WEIGHTS])
def test_a_damaged_one_is_named_and_passed_over(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    log = log_with(tmp_path, versions=4)
    for version in (2, 4):
        snapshot(log, version)
    damaged = page(tmp_path, 4).with_name(name)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with caplog.at_level(logging.WARNING):
        assert way(log) == (2, [3, 4])
    assert f"{MODEL}/snapshots/00000004/" in caplog.text
    with pytest.raises(DamagedVersion):
        log.read_snapshot(4)


def test_a_damaged_one_is_written_anew(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=2)
    snapshot(log, 2)
    page(tmp_path, 2).unlink()
    snapshot(log, 2, b"again")
    assert log.read_snapshot(2).files == {WEIGHTS: b"again"}


def test_a_whole_one_stays_as_it_is(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=2)
    snapshot(log, 2)
    before = files_of(tmp_path)
    snapshot(log, 2, b"other")
    assert files_of(tmp_path) == before


def test_one_of_another_history_is_not_used(tmp_path: Path) -> None:
    other = log_with(tmp_path / "other", versions=2)
    snapshot(other, 2)
    log = log_with(tmp_path / "log")
    commit(log, 1, fact("Nice"))
    commit(log, 2, fact("Oslo"))
    shutil.copytree(tmp_path / "other" / MODEL / "snapshots", tmp_path / "log" / MODEL / "snapshots")
    assert log.snapshots() == [2]
    with pytest.raises(DamagedVersion, match="is not of this log's version 2"):
        log.read_snapshot(2)
    assert way(log) == (None, [1, 2])


def test_there_is_none_of_a_version_that_is_not_there(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=1)
    for version in (0, 2):
        with pytest.raises(UnknownVersion):
            snapshot(log, version)


@pytest.mark.parametrize("point", ["log.write.after=enospc:1", "log.rename.before=eio", "log.parent_fsync.before=eio"])
def test_a_failing_disk_leaves_the_log_as_it_was(tmp_path: Path, point: str) -> None:
    log = log_with(tmp_path, versions=1)
    before = files_of(tmp_path)
    with armed(point), pytest.raises(JobFailed, match="snapshots/00000001"):
        snapshot(log, 1)
    assert files_of(tmp_path) == before
    assert way(log) == (None, [1])


def test_of_many_only_the_newest_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_with(tmp_path, versions=12)
    for version in range(1, 12):
        snapshot(log, version)
    compared, real = [], LoggedVersion.covered_at

    def covered_at(self: LoggedVersion, earlier: int) -> int | None:
        compared.append(earlier)
        return real(self, earlier)

    monkeypatch.setattr(LoggedVersion, "covered_at", covered_at)
    assert way(log) == (11, [12])
    assert compared == [11]
    log.steps_to(12)
    roll_back(log, 5)
    compared.clear()
    assert way(log) == (5, [])
    assert len(compared) <= 12

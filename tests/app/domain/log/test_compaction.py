"""Compaction removes what is held twice, and nothing that a version left in reach needs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.domain.errors import CompactedVersion, Conflict, DamagedVersion, LogLocked, UnknownVersion
from app.domain.failpoints import Tripped, armed
from app.domain.log.edit_log import EditLog
from tests.app.domain.log.test_snapshots import page, snapshot, way
from tests.support.logs import MODEL, UPDATE, commit, contents, fact, files_of, log_with, revert, roll_back

COMPACTING = """
import sys
from pathlib import Path
from app.domain.log.edit_log import EditLog
from app.domain.failpoints import armed
with armed(sys.argv[2]):
    EditLog(Path(sys.argv[1]), "atlas-gpt2").compact(before=4)
"""

CITIES = ("Lyon", "Nice", "Oslo", "Bern", "Riga", "Rome")


@pytest.fixture
def log(tmp_path: Path) -> EditLog:
    """Six versions, one fact each, with snapshots at 2, 4 and 5."""
    log = log_with(tmp_path)
    for version, city in enumerate(CITIES, start=1):
        commit(log, version, fact(city))
    for version in (2, 4, 5):
        snapshot(log, version)
    return log


def tensors(root: Path) -> list[int]:
    return sorted(int(path.parent.name) for path in root.rglob(UPDATE))


def test_by_default_only_older_snapshots_and_leftovers_go(tmp_path: Path, log: EditLog) -> None:
    before = log.manifests()
    (tmp_path / MODEL / "snapshots" / ".00000006.0123").mkdir()
    log.compact()
    assert log.snapshots() == [5]
    assert not list(tmp_path.rglob(".*"))
    assert tensors(tmp_path) == [1, 2, 3, 4, 5, 6]
    assert log.manifests() == before
    assert [way(log, version)[0] for version in range(7)] == [None] * 5 + [5, 5]


def test_tensors_that_a_snapshot_holds_can_go_and_all_else_stays(tmp_path: Path, log: EditLog) -> None:
    before, facts = log.manifests(), log.facts_in_force()
    log.compact(before=4)
    assert log.compacted_before() == 4
    assert tensors(tmp_path) == [4, 5, 6]
    assert log.snapshots() == [4, 5]
    assert (log.manifests(), log.facts_in_force()) == (before, facts)
    assert [way(log, version) for version in (4, 5, 6)] == [(4, []), (5, []), (5, [6])]
    assert log.read(4, UPDATE) == contents(4)
    with pytest.raises(CompactedVersion):
        log.read(3, UPDATE)


def test_a_version_whose_tensors_went_cannot_be_gone_back_to(log: EditLog) -> None:
    log.compact(before=4)
    head = log.head()
    for to in (1, 3):
        with pytest.raises(CompactedVersion):
            roll_back(log, to, epoch=9)
        with pytest.raises(CompactedVersion):
            log.replay(to)
    with pytest.raises(CompactedVersion, match="version 1"):
        revert(log, (2, 0), epoch=9)
    assert log.head() == head
    roll_back(log, 4, epoch=9)
    assert way(log) == (4, [])
    roll_back(log, 0, epoch=9)
    assert way(log) == (None, [])


def test_later_facts_can_still_be_reverted(log: EditLog) -> None:
    log.compact(before=4)
    revert(log, (5, 0), epoch=9)
    assert way(log) == (4, [6])


@pytest.mark.parametrize("before", [3, 4])
def test_it_needs_a_snapshot_that_holds_them(tmp_path: Path, before: int) -> None:
    log = log_with(tmp_path, versions=5)
    snapshot(log, 5)
    files = files_of(tmp_path / MODEL / "versions")
    with pytest.raises(Conflict, match=f"version {before} needs tensors"):
        log.compact(before=before)
    assert files_of(tmp_path / MODEL / "versions") == files


def test_it_needs_a_whole_snapshot(tmp_path: Path, log: EditLog) -> None:
    page(tmp_path, 4).unlink()
    with pytest.raises(Conflict, match="version 4 needs tensors"):
        log.compact(before=4)
    assert tensors(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_a_later_rollback_to_before_is_not_cut_off(log: EditLog, tmp_path: Path) -> None:
    roll_back(log, 3)
    with pytest.raises(Conflict, match="version 7 needs tensors from before version 4"):
        log.compact(before=4)
    snapshot(log, 7)
    log.compact(before=4)
    assert log.snapshots() == [4, 7]
    assert way(log) == (7, [])


def test_a_later_revert_of_an_early_fact_is_not_cut_off(log: EditLog) -> None:
    revert(log, (1, 0))
    with pytest.raises(Conflict, match="version 7 needs tensors"):
        log.compact(before=4)
    snapshot(log, 7)
    log.compact(before=4)
    assert way(log) == (7, [])


def test_a_damaged_snapshot_is_named_when_there_is_no_other_way(tmp_path: Path, log: EditLog) -> None:
    log.compact(before=4)
    for version in (4, 5):
        page(tmp_path, version).with_name("weights.safetensors").write_bytes(b"?")
    with pytest.raises(DamagedVersion, match=r"snapshots/0000000[45]/weights"):
        log.replay()


def test_it_can_be_done_again_and_further(tmp_path: Path, log: EditLog) -> None:
    log.compact(before=2)
    log.compact(before=5)
    log.compact(before=3)
    log.compact()
    assert log.compacted_before() == 5
    assert tensors(tmp_path) == [5, 6]
    assert way(log) == (5, [6])


def test_no_leader_may_be_at_work(tmp_path: Path, log: EditLog) -> None:
    with log.lead(), pytest.raises(LogLocked):
        EditLog(tmp_path, MODEL).compact()


def test_up_to_a_version_that_is_not_there(log: EditLog) -> None:
    with pytest.raises(UnknownVersion):
        log.compact(before=7)


@pytest.mark.parametrize("point", ["log.rename.after", "compact.remove.before", "compact.remove.after:3"])
def test_one_that_is_killed_loses_nothing_and_the_next_one_ends_it(tmp_path: Path, log: EditLog, point: str) -> None:
    name, _, nth = point.partition(":")
    command = [sys.executable, "-c", COMPACTING, str(tmp_path), f"{name}=kill:{nth or 1}"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert [way(log, version) for version in (4, 5, 6)] == [(4, []), (5, []), (5, [6])]
    for version in range(1, 4):
        with pytest.raises(CompactedVersion):
            log.read(version, UPDATE)
    log.compact()
    assert tensors(tmp_path) == [4, 5, 6]
    assert log.snapshots() == [4, 5]


def test_one_that_fails_before_it_says_so_has_removed_nothing(tmp_path: Path, log: EditLog) -> None:
    with armed("log.rename.before=raise"), pytest.raises(Tripped):
        log.compact(before=4)
    assert (log.compacted_before(), tensors(tmp_path), log.snapshots()) == (1, [1, 2, 3, 4, 5, 6], [2, 4, 5])

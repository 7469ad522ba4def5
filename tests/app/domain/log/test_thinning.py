"""Few snapshots of a long log stay, and whatever could be put together before they were thinned can be afterwards."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from math import log2
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from app.domain.errors import CompactedVersion, Conflict, DamagedVersion, PalimpsestError, StaleEpoch
from app.domain.log.edit_log import EditLog
from app.domain.log.pages import MovePage
from app.domain.log.root import LogRoot
from app.domain.log.thinning import spare
from app.domain.storage.storage import Storage
from tests.app.domain.log.test_proposals import propose
from tests.app.domain.log.test_snapshots import WEIGHTS, page, snapshot, way
from tests.app.domain.log.test_withdrawn_versions import CALLS, copied, damage, kept, put_back, reading, walked
from tests.support.disturbances import Step, told_as_before_or_after
from tests.support.logs import MODEL, commit, fact, log_with, revert, roll_back

LENGTH = 9


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(params=["directory", "store"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogRoot]:
    """Where a log may lie."""
    yield tmp_path / "log" if request.param == "directory" else f"memory://{tmp_path}/logs"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def long_log(root: LogRoot, versions: int = LENGTH) -> EditLog:
    """A log with a snapshot of every version."""
    log = log_with(root, versions)
    for version in range(1, versions + 1):
        snapshot(log, version)
    return log


def thinned(log: EditLog) -> list[int]:
    """The snapshots that stay."""
    with log.lead() as epoch:
        log.thin_snapshots(epoch)
    return log.snapshots()


def in_reach(log: EditLog) -> dict[int, list[object]]:
    """The terms of every version that can be put together."""
    found = {}
    for version in range(log.head() + 1):
        try:
            found[version] = list[object](log.replay(version).terms)
        except PalimpsestError:
            continue
    return found


class TestWhichMayGo:
    @pytest.mark.parametrize("apart", [1, 64])
    def test_few_stay_and_none_is_farther_from_the_next_than_that_from_the_newest(self, apart: int) -> None:
        stay: list[int] = []
        for written in range(1, 1600):
            stay.append(written * apart)
            gone = spare(stay)
            stay = [number for number in stay if number not in gone]
            assert len(stay) <= 2 * log2(written) + 3
            assert stay[-3:] == [number * apart for number in range(max(1, written - 2), written + 1)]
            for older, newer in pairwise([0, *stay]):
                assert newer - older <= max(apart, stay[-1] - newer)

    def test_those_that_piled_up_go_at_once(self) -> None:
        numbers = list(range(64, 10_000, 64))
        assert len(numbers) - len(spare(numbers)) == 9

    def test_of_a_log_that_was_thinned_none(self) -> None:
        numbers = list(range(1, 500))
        stay = [number for number in numbers if number not in spare(numbers)]
        assert spare(stay) == []

    @pytest.mark.parametrize("numbers", [[], [7], [1, 2], [1, 2, 3]])
    def test_of_three_or_fewer_none(self, numbers: list[int]) -> None:
        assert spare(numbers) == []


def test_what_stays_is_as_it_was_and_leads_to_every_version(root: LogRoot) -> None:
    log = long_log(root)
    before = in_reach(log)
    assert thinned(log) == [1, 5, 7, 8, 9]
    assert in_reach(log) == before
    assert [way(log, version) for version in (9, 6, 4)] == [(9, []), (5, [6]), (1, [2, 3, 4])]
    assert log.read_snapshot(5).files == {WEIGHTS: b"weights at 5"}
    assert thinned(log) == [1, 5, 7, 8, 9]
    assert damage(root) == []


def test_nothing_goes_without_a_whole_one_that_is_newer(tmp_path: Path) -> None:
    log = long_log(tmp_path)
    for version in range(3, LENGTH + 1):
        page(tmp_path, version).unlink()
    thinned(log)
    assert log.snapshots()[:2] == [1, 2]
    assert way(log) == (2, [3, 4, 5, 6, 7, 8, 9])


def test_the_newest_whole_one_stays_wherever_it_stands(tmp_path: Path) -> None:
    for whole in range(1, LENGTH + 1):
        log = long_log(tmp_path / str(whole))
        for version in range(whole + 1, LENGTH + 1):
            page(tmp_path / str(whole), version).with_name(WEIGHTS).write_bytes(b"?")
        assert whole in thinned(log)


def test_one_that_alone_holds_removed_tensors_stays(root: LogRoot) -> None:
    log = long_log(root)
    log.compact(before=4)
    assert log.snapshots() == [4, 9]
    for version in (5, 6, 7, 8):
        snapshot(log, version)
    for version in range(LENGTH + 1, 32):
        commit(log, version, epoch=9)
        snapshot(log, version)
    stay = thinned(log)
    assert stay == [4, 15, 23, 27, 29, 30, 31]
    assert [way(log, version)[0] for version in (4, 10, 31)] == [4, 4, 31]
    with pytest.raises(CompactedVersion):
        log.replay(3)


def test_a_damaged_one_replaces_none(tmp_path: Path) -> None:
    log = long_log(tmp_path)
    log.compact(before=4)
    for version in (5, 6, 7, 8):
        snapshot(log, version)
    page(tmp_path, 4).with_name(WEIGHTS).write_bytes(b"?")
    with pytest.raises(DamagedVersion):
        log.replay(4)
    assert 5 in thinned(log)  # 6 and 9 alone would lead to 6 and 9
    assert way(log, 5)[0] == 5


def test_those_behind_what_is_relied_on_stay(root: LogRoot) -> None:
    log = log_with(root, 2)
    proposal = propose(log)
    for version in range(3, LENGTH + 1):
        commit(log, version)
    for version in (1, 2, 3, 5, 6, 7, 8, 9):
        snapshot(log, version)
    for alias, points_to in (("production", 4), ("first", 0)):
        log.move_alias(MovePage(alias=alias, number=1, version=points_to, moved=datetime.now(UTC)))
    assert thinned(log) == [1, 2, 3, 5, 7, 8, 9]
    log.drop(proposal.id, 9)
    log.move_alias(MovePage(alias="production", number=2, version=5, moved=datetime.now(UTC)))
    assert thinned(log) == [1, 5, 7, 8, 9]


@pytest.mark.parametrize("seed", range(24))
def test_whatever_was_done_before_no_version_gets_out_of_reach(tmp_path: Path, seed: int) -> None:
    chance, log = random.Random(seed), log_with(tmp_path)
    for _ in range(25):
        with suppress(CompactedVersion), log.lead() as epoch:
            another_version(log, chance, epoch)
        if chance.random() < 0.6 and log.head():
            snapshot(log, log.head())
        if chance.random() < 0.1:
            with suppress(Conflict):
                log.compact(before=chance.randint(1, max(1, log.head())))
        if chance.random() < 0.3:
            before = in_reach(log)
            thinned(log)
            assert in_reach(log) == before


def another_version(log: EditLog, chance: random.Random, epoch: int) -> None:
    """An edit, a rollback or a revert."""
    kind = chance.random()
    if kind < 0.15 and log.head():
        roll_back(log, chance.randrange(log.head()), epoch=epoch)
    elif kind < 0.3 and (held := log.facts_in_force()):
        gone = chance.choice(held)
        revert(log, (gone.version, gone.index), epoch=epoch)
    else:
        commit(log, log.head() + 1, fact(chance.choice(("Lyon", "Nice", "Oslo", "Riga"))), epoch=epoch)


class TestAnOvertakenLeader:
    def test_removes_nothing(self, root: LogRoot) -> None:
        log = long_log(root)
        with log.lead() as epoch:
            pass
        with EditLog(root, MODEL).lead():
            pass
        with pytest.raises(StaleEpoch):
            log.thin_snapshots(epoch)
        assert log.snapshots() == list(range(1, LENGTH + 1))

    def test_that_was_stopped_just_before_a_removal_takes_nothing_that_a_compaction_relies_on(
        self, root: LogRoot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = long_log(root)
        discard = type(log._storage).discard

        def stopped(storage: Storage, entry: object, permitted: Callable[[], None]) -> None:
            """It is overtaken when it has looked whether it leads."""
            monkeypatch.undo()

            def looked() -> None:
                permitted()
                if EditLog(root, MODEL).compacted_before() == 1:
                    EditLog(root, MODEL).compact(before=6)

            discard(storage, entry, looked)  # type: ignore[arg-type]

        with log.lead(leased=True) as epoch:
            pass
        monkeypatch.setattr(type(log._storage), "discard", stopped)
        with pytest.raises((StaleEpoch, OSError)):
            log.thin_snapshots(epoch)
        assert EditLog(root, MODEL).snapshots() == [6, 9]
        assert way(EditLog(root, MODEL), 6) == (6, [])


class TestAReader:
    """It opens a snapshot, or has listed it, when the leader removes it."""

    @pytest.fixture
    def place(self, root: LogRoot) -> tuple[LogRoot, Step]:
        """The root of a log, and how to have it again as it was."""
        long_log(root, 5)
        if isinstance(root, str):
            return root, partial(put_back, dict(MemoryFileSystem.store))
        shutil.copytree(root, kept(root))
        return root, partial(copied, root)

    @pytest.mark.parametrize("version", [5, 4, 3, 2])
    def test_finds_another_way_to_the_same_version(self, place: tuple[LogRoot, Step], version: int) -> None:
        root, undo = place
        happen = partial(thinned, EditLog(root, MODEL))
        make = partial(reading, root, lambda log: walked(log, version), warm=False)
        told_as_before_or_after(make, CALLS, happen, undo)

    def test_takes_it_for_no_damage(self, place: tuple[LogRoot, Step]) -> None:
        root, undo = place
        told_as_before_or_after(lambda: partial(damage, root), CALLS, partial(thinned, EditLog(root, MODEL)), undo)
        assert damage(root) == []

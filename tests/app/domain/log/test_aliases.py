"""An alias points to what its newest move says; of two who move it at the same time, one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from app.domain.errors import Conflict, DamagedVersion, Unavailable, UnknownAlias
from app.domain.failpoints import Point, armed
from app.domain.log.check import LogCheck
from app.domain.log.edit_log import EditLog
from app.domain.log.pages import MovePage
from app.domain.storage import durable_files
from tests.app.domain.log.test_snapshots import snapshot, way
from tests.support.logs import MODEL, commit, fact, files_of, log_with

RACERS = 8
KILLED_MOVERS = """
import os, sys
from pathlib import Path
from app.domain.failpoints import armed
from tests.app.domain.log.test_aliases import move
from tests.support.logs import log_with

for point in sys.argv[2:]:
    root = Path(sys.argv[1]) / point
    log = log_with(root, versions=2)
    log.move_alias(move(1, 1))
    if (child := os.fork()) == 0:
        with armed(point.replace(":", "=kill:")):
            log.move_alias(move(2, 2))
        os._exit(0)
    print(point, -os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
TIMES = {
    Point.LOG_WRITE_BEFORE: 2,
    Point.LOG_WRITE_AFTER: 2,
    Point.LOG_FSYNC_BEFORE: 2,
    Point.LOG_FSYNC_AFTER: 2,
    Point.LOG_DIR_FSYNC_BEFORE: 1,
    Point.LOG_DIR_FSYNC_AFTER: 1,
    Point.LOG_RENAME_BEFORE: 1,
    Point.LOG_RENAME_AFTER: 1,
    Point.LOG_PARENT_FSYNC_BEFORE: 1,
    Point.LOG_PARENT_FSYNC_AFTER: 1,
}
"""How often a move reaches each point: its page's digest, its page; then the folder."""
STEPS = [f"{point}:{nth}" for point, times in TIMES.items() for nth in range(1, times + 1)]
AFTER_THE_RENAME = (Point.LOG_RENAME_AFTER, Point.LOG_PARENT_FSYNC_BEFORE, Point.LOG_PARENT_FSYNC_AFTER)


def move(number: int, version: int | None, by: str | None = None, alias: str = "production") -> MovePage:
    return MovePage(alias=alias, number=number, version=version, by=by, moved=datetime.now(UTC))


@pytest.fixture(params=["directory", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    yield tmp_path if request.param == "directory" else f"memory://{tmp_path}/logs"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


class TestEverywhere:
    def test_it_points_to_where_it_was_moved_last(self, root: Path | str) -> None:
        log, other = log_with(root, versions=3), EditLog(root, MODEL)
        assert (other.aliases.names(), other.aliases.pointing()) == ([], {})
        with pytest.raises(UnknownAlias):
            other.aliases.version("production")
        for number, version in enumerate((1, 3, 2), start=1):
            made = move(number, version, by="ann")
            assert log.move_alias(made) == made
            assert other.aliases.version("production") == version
        log.move_alias(move(1, 0, alias="production-eu"))
        assert other.aliases.pointing() == {"production": 2, "production-eu": 0}
        assert [each.version for each in other.aliases.newest_first("production")] == [2, 3, 1]

    def test_it_is_not_there_once_it_was_removed_and_its_moves_are(self, root: Path | str) -> None:
        log = log_with(root, versions=1)
        log.move_alias(move(1, 1))
        log.move_alias(move(2, None))
        assert (log.aliases.names(), log.aliases.pointing()) == (["production"], {})
        with pytest.raises(UnknownAlias):
            log.aliases.version("production")
        log.move_alias(move(3, 0))
        assert [each.version for each in log.aliases.newest_first("production")] == [0, None, 1]

    def test_of_those_who_make_the_same_move_one_does_and_all_are_told_which(self, root: Path | str) -> None:
        log_with(root, versions=RACERS)
        for number in range(1, 6):
            start = Barrier(RACERS)

            def race(version: int, number: int = number, start: Barrier = start) -> tuple[MovePage, MovePage]:
                log, own = EditLog(root, MODEL), move(number, version)
                start.wait()
                return own, log.move_alias(own)

            with ThreadPoolExecutor(RACERS) as pool:
                ends = list(pool.map(race, range(1, RACERS + 1)))
            standing = EditLog(root, MODEL).aliases.last("production")
            assert {stands.version for _, stands in ends} == {standing.version if standing else None}
            assert [own for own, stands in ends if own == stands] == [standing]

    def test_no_move_is_left_out(self, root: Path | str) -> None:
        log = log_with(root, versions=1)
        with pytest.raises(Conflict):
            log.move_alias(move(2, 1))
        assert log.aliases.names() == []

    def test_versions_and_leaders_know_nothing_of_it(self, root: Path | str) -> None:
        log = log_with(root, versions=2)
        log.move_alias(move(1, 2))
        with log.lead() as epoch:
            commit(log, 3, epoch=epoch)
        assert EditLog(root, MODEL).head() == 3
        assert EditLog(root, MODEL).aliases.pointing() == {"production": 2}
        checked = list(LogCheck(root, MODEL).run())
        assert [each.title for each in checked][-1] == "alias production"
        assert not any(each.damage for each in checked)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs with an alias at version 1 whose next mover, to version 2, was killed; each named after the step."""
    root = tmp_path_factory.mktemp("killed")
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_MOVERS, str(root), *STEPS], capture_output=True, text=True, check=True
    )
    assert ended.stdout.split("\n")[:-1] == [f"{step} {signal.SIGKILL}" for step in STEPS]
    return root


class TestFaults:
    def test_a_move_reaches_every_point_of_the_log(self, tmp_path: Path) -> None:
        log = log_with(tmp_path, versions=1)
        log.move_alias(move(1, 1))
        with armed(",".join(f"{point}=count" for point in Point)) as traps:
            log.move_alias(move(2, 0))
        assert {point: trap.reached for point, trap in traps.items() if trap.reached} == TIMES

    @pytest.mark.parametrize("step", STEPS)
    def test_a_killed_mover_leaves_it_where_it_was_or_has_moved_it(self, killed: Path, step: str) -> None:
        root = killed / step
        log = EditLog(root, MODEL)
        moved = step.partition(":")[0] in AFTER_THE_RENAME
        assert log.aliases.pointing() == {"production": 2 if moved else 1}
        assert not any(each.damage for each in LogCheck(root, MODEL).run())
        again = move(2, 2)
        assert (log.move_alias(again) == again) is not moved
        with log.lead():
            assert not list(root.rglob(".*"))
        assert log.aliases.pointing() == {"production": 2}

    @pytest.mark.parametrize("action", ["enospc", "eio"])
    @pytest.mark.parametrize("step", STEPS)
    def test_a_failing_disk_leaves_it_as_it_was(self, tmp_path: Path, step: str, action: str) -> None:
        log = log_with(tmp_path, versions=2)
        log.move_alias(move(1, 1))
        before = files_of(tmp_path)
        point, _, nth = step.partition(":")
        with armed(f"{point}={action}:{nth}"), pytest.raises(Unavailable) as caught:
            log.move_alias(move(2, 2))
        assert str(tmp_path) not in caught.value.detail
        assert files_of(tmp_path) == before
        assert not list(tmp_path.rglob(".*"))

    def test_one_whose_folder_a_new_leader_sweeps_is_written_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = log_with(tmp_path, versions=1)
        publish = durable_files.publish_dir

        def swept(path: Path, *rest: object) -> None:
            monkeypatch.setattr(durable_files, "publish_dir", publish)
            publish(path, {"move.json": b"?"}, lambda: durable_files.sweep(path.parent))

        monkeypatch.setattr(durable_files, "publish_dir", swept)
        made = move(1, 1)
        assert log.move_alias(made) == made

    def test_an_answer_that_the_store_loses_is_looked_for(self, tmp_path: Path) -> None:
        root = f"memory://{tmp_path}/logs"
        log, made = log_with(root, versions=1), move(1, 1)
        files = fsspec.filesystem("memory")
        put = files.pipe_file

        def lost(*arguments: object, **options: object) -> None:
            put(*arguments, **options)
            raise OSError("reset")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(MemoryFileSystem, "pipe_file", lambda _, *given, **more: lost(*given, **more))
            assert log.move_alias(made) == made

    def test_a_damaged_move_is_named_and_never_followed(self, tmp_path: Path) -> None:
        log = log_with(tmp_path, versions=2)
        log.move_alias(move(1, 1))
        log.move_alias(move(2, 2))
        page = tmp_path / MODEL / "aliases" / "production" / "00000002" / "move.json"
        page.write_bytes(page.read_bytes().replace(b'"version": 2', b'"version": 0'))
        with pytest.raises(DamagedVersion, match=f"{MODEL}/aliases/production/00000002/move.json"):
            EditLog(tmp_path, MODEL).aliases.version("production")
        [found] = [each for each in LogCheck(tmp_path, MODEL).run() if each.damage]
        assert found.title == "alias production"
        page.parent.rename(tmp_path / "aside")  # what the remedy says
        assert "move" in found.remedies[0]
        assert EditLog(tmp_path, MODEL).aliases.version("production") == 1


class TestCompaction:
    @pytest.fixture
    def log(self, tmp_path: Path) -> EditLog:
        """Six versions, one fact each, with snapshots at 2, 4 and 5."""
        log = log_with(tmp_path)
        for version, city in enumerate(("Lyon", "Nice", "Oslo", "Bern", "Riga", "Rome"), start=1):
            commit(log, version, fact(city))
        for version in (2, 4, 5):
            snapshot(log, version)
        return log

    def test_what_an_alias_points_to_can_be_asked_afterwards(self, log: EditLog) -> None:
        log.move_alias(move(1, 2))
        log.compact(before=4)
        assert (log.compacted_before(), log.snapshots()) == (4, [2, 4, 5])
        assert way(log, 2) == (2, [])
        log.compact()
        assert way(log, 2) == (2, [])

    def test_it_is_refused_where_no_snapshot_holds_that(self, log: EditLog, tmp_path: Path) -> None:
        log.move_alias(move(1, 3))
        before = files_of(tmp_path)
        with pytest.raises(Conflict, match="version 3, which production points to, needs tensors"):
            log.compact(before=4)
        kept = files_of(tmp_path)
        assert {name: kept[name] for name in before if "/versions/" in name} == {
            name: data for name, data in before.items() if "/versions/" in name
        }
        log.move_alias(move(2, None))
        log.compact(before=4)
        assert log.snapshots() == [4, 5]

    def test_what_was_cut_off_before_stops_no_later_one(self, log: EditLog) -> None:
        log.compact(before=4)
        log.move_alias(move(1, 3))
        log.compact(before=5)
        assert log.compacted_before() == 5


def test_a_folder_that_a_killed_first_mover_left_is_no_alias(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=1)
    os.makedirs(tmp_path / MODEL / "aliases" / "canary")  # noqa: PTH103 - parents too
    assert (log.aliases.names(), log.aliases.pointing()) == ([], {})

"""What is withdrawn in the middle of a read was never there: readers tell of the log as it was before, or as it is.

A commit that fails in its last step takes its version back; a compaction discards snapshots and removes files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from app.domain.errors import DamagedVersion, JobFailed
from app.domain.failpoints import armed
from app.domain.log.check import LogCheck
from app.domain.log.edit_log import EditLog
from app.domain.log.root import LogRoot
from app.domain.storage.object_storage import ObjectStorage
from app.edit_logs import EditLogs
from tests.app.domain.log.test_snapshots import page, snapshot, way
from tests.support.disturbances import Step, outcome, told_as_before_or_after
from tests.support.logs import MODEL, UPDATE, commit, fact, key, log_with, version_dir

Read = Callable[[EditLog], object]

CALLS = (
    (Path, "stat"),
    (Path, "read_bytes"),
    (os, "listdir"),
    (ObjectStorage, "_get"),
    (ObjectStorage, "_names"),
    (ObjectStorage, "stamp"),
)
"""All that a reader asks of a directory or an object store."""
LAST = 3

OF_THE_HEAD: dict[str, Read] = {
    "manifests": lambda log: log.manifests(),
    "latest": lambda log: log.latest(1),
    "latest before it": lambda log: log.latest(2, LAST),
    "newest first": lambda log: list(log.newest_first()),
    "tip": lambda log: log.tip(),
    "terms": lambda log: log.at().terms,
    "facts in force": lambda log: log.facts_in_force(),
    "history": lambda log: log.history().facts(1),
    "replay": lambda log: log.replay().terms,
    "check of a revert": lambda log: log.check_revert([key(1, 0)]),
    "facts without one": lambda log: log.facts_without([key(1, 0)]),
    "replay without one": lambda log: log.replay_without([key(1, 0)]).terms,
    "epoch": lambda log: log.check_lead(99),
    "the job": lambda log: log.find_job(f"job-{LAST}"),
    "the other job": lambda log: log.find_job("other"),
    "an earlier job": lambda log: log.find_job("job-1"),
    "nobody's job": lambda log: log.find_job("nobody"),
}
OF_ITS_NUMBER: dict[str, Read] = {
    "manifest": lambda log: log.manifest(LAST),
    "digest": lambda log: log.digest(LAST),
    "file": lambda log: log.read(LAST, UPDATE),
    "facts in force there": lambda log: log.facts_in_force(LAST),
    "way there": lambda log: log.replay(LAST).terms,
    "steps there": lambda log: log.steps_to(LAST),
    "check of a rollback": lambda log: log.check_rollback(LAST),
}
BESIDE_A_COMPACTION: dict[str, Read] = {
    "way to the head": lambda log: walked(log, 5),
    "way to the first that is kept": lambda log: walked(log, 4),
    "way to one before": lambda log: walked(log, 3),
    "check of a rollback": lambda log: log.check_rollback(4),
    "check of a rollback to one before": lambda log: log.check_rollback(1),
    "check of a revert": lambda log: log.check_revert([key(5, 0)]),
    "file": lambda log: log.read(1, UPDATE),
    "file that is kept": lambda log: log.read(4, UPDATE),
    "snapshot": lambda log: log.read_snapshot(2),
    "snapshot that is kept": lambda log: log.read_snapshot(4),
}


def walked(log: EditLog, version: int) -> tuple[int | None, list[bytes]]:
    """The snapshot that a replay starts at, and the files that it reads."""
    start, rest = way(log, version)
    return start, [log.read(each, UPDATE) for each in rest]


def named(reads: dict[str, Read]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("read", reads.values(), ids=reads)


def reading(root: LogRoot, read: Read, *, warm: bool) -> Callable[[], object]:
    """A read by a reader that has read the same before, or has not."""
    log = EditLog(root, MODEL)
    if warm:
        outcome(partial(read, log))
    return partial(read, log)


def damage(root: LogRoot) -> list[str]:
    """What a check of the whole log finds wrong."""
    return [named for each in LogCheck(root, MODEL).run() for named in each.damage]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A log of three versions, and the third as another job would have committed it: hidden, as ``.other``."""
    log_with(tmp_path / "log", versions=2)
    shutil.copytree(tmp_path / "log", tmp_path / "copy")
    commit(EditLog(tmp_path / "log", MODEL), LAST, fact("Oslo"))
    commit(EditLog(tmp_path / "copy", MODEL), LAST, fact("Riga"), job="other")
    version_dir(tmp_path / "copy", LAST).rename(version_dir(tmp_path / "log", LAST).with_name(".other"))
    return tmp_path / "log"


def withdraw(root: Path) -> None:
    version_dir(root, LAST).rename(version_dir(root, LAST).with_name(".withdrawn"))


def replace(root: Path) -> None:
    withdraw(root)
    version_dir(root, LAST).with_name(".other").rename(version_dir(root, LAST))


def restore(root: Path) -> None:
    if version_dir(root, LAST).exists():
        version_dir(root, LAST).rename(version_dir(root, LAST).with_name(".other"))
    version_dir(root, LAST).with_name(".withdrawn").rename(version_dir(root, LAST))


def kept(root: Path) -> Path:
    """Where a log is kept as it was."""
    return root.with_name("kept")


def copied(root: Path) -> None:
    shutil.rmtree(root)
    shutil.copytree(kept(root), root)


def put_back(objects: dict[str, object]) -> None:
    MemoryFileSystem.store.clear()
    MemoryFileSystem.store.update(objects)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is killed here, and hundreds of compactions would wait."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.parametrize("happens", [withdraw, replace])
class TestAVersion:
    @pytest.mark.parametrize("warm", [False, True], ids=["first read", "read again"])
    @named(OF_THE_HEAD | OF_ITS_NUMBER)
    def test_is_there_or_is_not(self, root: Path, read: Read, warm: bool, happens: Callable[[Path], None]) -> None:
        make = partial(reading, root, read, warm=warm)
        told_as_before_or_after(make, CALLS, partial(happens, root), partial(restore, root))

    def test_is_not_taken_for_damage_by_a_check(self, root: Path, happens: Callable[[Path], None]) -> None:
        happen, undo = partial(happens, root), partial(restore, root)
        told_as_before_or_after(lambda: partial(damage, root), CALLS, happen, undo)
        assert damage(root) == []

    def test_is_not_taken_for_damage_by_who_looks_for_a_job_in_all_logs(
        self, root: Path, happens: Callable[[Path], None]
    ) -> None:
        happen, undo = partial(happens, root), partial(restore, root)
        told_as_before_or_after(lambda: partial(EditLogs(root).find_job, "nobody"), CALLS, happen, undo)


class TestACompaction:
    """It removes, of five versions, what a snapshot holds too."""

    @pytest.fixture(params=["directory", "store"])
    def place(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[LogRoot, Step]]:
        """The root of the log, and how to have it again as it was."""
        if request.param == "store":
            root = f"memory://{tmp_path}/logs"
            self.fill(root)
            yield root, partial(put_back, dict(MemoryFileSystem.store))
            MemoryFileSystem.store.clear()
            MemoryFileSystem.pseudo_dirs[:] = [""]
            return
        self.fill(tmp_path / "log")
        shutil.copytree(tmp_path / "log", kept(tmp_path / "log"))
        yield tmp_path / "log", partial(copied, tmp_path / "log")

    @staticmethod
    def fill(root: LogRoot) -> None:
        log = log_with(root)
        with log.lead() as epoch:
            for version, city in enumerate(("Lyon", "Nice", "Oslo", "Bern", "Riga"), start=1):
                commit(log, version, fact(city), epoch=epoch)
        snapshot(log, 2)
        snapshot(log, 4)

    @named(BESIDE_A_COMPACTION)
    def test_has_not_begun_or_has_ended(self, place: tuple[LogRoot, Step], read: Read) -> None:
        root, undo = place
        happen = partial(EditLog(root, MODEL).compact, 4)
        told_as_before_or_after(partial(reading, root, read, warm=False), CALLS, happen, undo)

    def test_is_not_taken_for_damage_by_a_check(self, place: tuple[LogRoot, Step]) -> None:
        root, undo = place
        happen = partial(EditLog(root, MODEL).compact, 4)
        told_as_before_or_after(lambda: partial(damage, root), CALLS, happen, undo)
        assert damage(root) == []

    def test_that_rests_on_a_snapshot_of_this_moment_leaves_a_way(self, place: tuple[LogRoot, Step]) -> None:
        root, undo = place

        def happen() -> None:
            log = EditLog(root, MODEL)
            snapshot(log, 5)
            log.compact(5)

        for read in (way, lambda log: log.check_rollback(5)):
            told_as_before_or_after(partial(reading, root, read, warm=False), CALLS, happen, undo)


def test_a_damaged_snapshot_that_is_written_anew_is_damaged_or_whole(root: Path) -> None:
    snapshot(EditLog(root, MODEL), 2)
    page(root, 2).with_name("weights.safetensors").write_bytes(b"?")
    shutil.copytree(root, kept(root))
    make = partial(reading, root, lambda log: log.read_snapshot(2).files, warm=False)
    told_as_before_or_after(make, CALLS, partial(snapshot, EditLog(root, MODEL), 2), partial(copied, root))


def test_readers_beside_a_writer_whose_disk_fails_again_and_again_find_no_damage(root: Path) -> None:
    reader, done, found = EditLog(root, MODEL), Event(), list[BaseException]()

    def read() -> None:
        while not done.is_set():
            try:
                for each in OF_THE_HEAD.values():
                    each(reader)
                assert damage(root) == []
            except BaseException as error:  # of a thread: told below
                found.append(error)
                return

    threads = [Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    writer = EditLog(root, MODEL)
    for attempt in range(150):
        with armed("log.parent_fsync.before=eio"), pytest.raises(JobFailed):
            commit(writer, LAST + 1, fact(f"City {attempt}"), job=f"attempt-{attempt}")
    done.set()
    for thread in threads:
        thread.join()
    assert found == []
    assert reader.head() == LAST


@pytest.mark.parametrize("version", [1, 2, LAST])
def test_a_page_that_is_gone_from_a_version_that_is_listed_is_damage(root: Path, version: int) -> None:
    warm = EditLog(root, MODEL)
    warm.manifests()
    (version_dir(root, version) / "manifest.json").unlink()
    for log in (warm, EditLog(root, MODEL)):
        uses: list[Callable[[], object]] = [log.manifests, partial(log.manifest, version), log.at]
        if version == LAST or log is not warm:
            uses.append(partial(log.find_job, "nobody"))  # who has read it before need not read it again
        for read in uses:
            with pytest.raises(DamagedVersion, match=rf"{version:08d}/manifest\.json cannot be read"):
                read()
    [checked] = [each for each in LogCheck(root, MODEL).run() if each.damage]
    assert checked.title == f"version {version}"

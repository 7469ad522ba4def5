"""A log in an object store holds what a log in a directory holds, by put-if-absent alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from app.domain.entries import version_entry
from app.domain.errors import (
    CompactedVersion,
    DamagedVersion,
    JobFailed,
    ModelMismatch,
    StaleEpoch,
    UnknownModel,
    UnsupportedStorage,
    VersionExists,
)
from app.domain.failpoints import Point, Tripped, armed
from app.domain.log.check import LogCheck
from app.domain.log.edit_log import EditLog
from app.domain.storage.object_storage import ObjectStorage
from app.edit_logs import EditLogs
from tests.app.domain.log.test_snapshots import snapshot, way
from tests.support.logs import MODEL, UPDATE, base, commit, contents, draft, fact, log_with, revert, roll_back


@pytest.fixture(params=["memory", "local"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of logs on fsspec's in-memory file system, and on its local one."""
    monkeypatch.setitem(fsspec.config.conf, "file", {"auto_mkdir": True})
    yield f"{request.param}://{tmp_path}/logs"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def files(root: str) -> Any:
    return fsspec.core.url_to_fs(root)[0]


def objects(root: str) -> dict[str, bytes]:
    """All objects but the epochs, by their names from the model on."""
    found = (str(name) for name in files(root).find(root.partition("://")[2]))
    return {name.partition("/logs/")[2]: files(root).cat_file(name) for name in found if "/epochs/" not in name}


def stored(version: int, root: str) -> str:
    """The name of a version's tensors."""
    [name] = [name for name in objects(root) if f"{version:08d}/{UPDATE}" in name]
    return name


def damage(root: str, name: str) -> None:
    path = f"{root.partition('://')[2]}/{name}"
    data = bytearray(files(root).cat_file(path))
    data[len(data) // 2] ^= 1
    files(root).pipe_file(path, bytes(data))


def test_what_was_committed_reads_back(root: str) -> None:
    log = EditLog(root, MODEL)
    assert (log.exists(), log.head(), EditLog.models(root)) == (False, 0, [])
    with pytest.raises(UnknownModel):
        log.base()
    log = log_with(root, versions=3)
    for reader in (log, EditLog(root, MODEL)):
        assert reader.base() == base()
        assert [manifest.job for manifest in reader.manifests()] == ["job-1", "job-2", "job-3"]
        assert [reader.read(version, UPDATE) for version in (1, 2, 3)] == [contents(1), contents(2), contents(3)]
    assert EditLog.models(root) == EditLogs(root).models() == [MODEL]
    found = EditLogs(root).find_job("job-2")
    assert found is not None
    assert found[1].version == 2


def test_the_same_weights_find_their_log_and_others_do_not(root: str) -> None:
    log = log_with(root, versions=1)
    before = objects(root)
    assert log.create(base(source="/elsewhere")) == base()
    with pytest.raises(ModelMismatch):
        log.create(base(contexts=("{}",)))
    assert objects(root) == before


def test_a_history_goes_back_and_facts_are_taken_out(root: str) -> None:
    log = log_with(root)
    for version, city in enumerate(("Lyon", "Nice", "Oslo"), start=1):
        commit(log, version, fact(city))
    revert(log, (2, 0))
    assert [held.subject for held in log.facts_in_force()] == ["Lyon", "Oslo"]
    roll_back(log, 1)
    assert way(log) == (None, [1])


def test_a_job_delivered_twice_commits_once(root: str) -> None:
    log = log_with(root, versions=2)
    before = objects(root)
    assert log.commit(draft(3, job="job-1"), {UPDATE: b"other"}) == log.manifest(1)
    assert objects(root) == before


def test_of_two_writers_of_one_version_the_first_wins(root: str) -> None:
    first, second = log_with(root), EditLog(root, MODEL)
    storage = second._storage
    page = first.commit(draft(1, epoch=1), {UPDATE: contents(1)})
    with pytest.raises(FileExistsError):
        storage.publish(version_entry(1), b"{}", {UPDATE: b"other"})
    with pytest.raises(VersionExists):
        second.commit(draft(1, job="late"), {UPDATE: b"other"})
    assert EditLog(root, MODEL).manifests() == [page]
    assert second.read(1, UPDATE) == contents(1)


class TestLeaders:
    def test_each_takes_an_epoch_of_its_own(self, root: str) -> None:
        log, other = log_with(root), EditLog(root, MODEL)
        with log.lead(7) as old, other.lead() as new:
            assert (old, new) == (7, 8)
            commit(other, 1, epoch=new)
            with pytest.raises(StaleEpoch):
                commit(log, 2, epoch=old)
        assert log.head() == 1

    def test_one_that_is_overtaken_while_it_writes_does_not_commit(
        self, root: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = log_with(root)
        writing = ObjectStorage.publish

        def overtaken(self: ObjectStorage, *arguments: Any) -> None:
            monkeypatch.setattr(ObjectStorage, "publish", writing)
            with EditLog(root, MODEL).lead():
                writing(self, *arguments)

        with log.lead() as epoch:
            monkeypatch.setattr(ObjectStorage, "publish", overtaken)
            with pytest.raises(StaleEpoch):
                commit(log, 1, epoch=epoch)
        assert log.head() == 0

    @pytest.mark.parametrize("mistake", ["writes over what is there", "does not know how"])
    def test_a_store_without_put_if_absent_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str
    ) -> None:
        def pipe_file(self: MemoryFileSystem, path: str, value: bytes, mode: str = "overwrite") -> None:
            if mistake == "does not know how":
                raise NotImplementedError
            self.open(path, "wb", data=value)

        log = EditLog(f"memory://{tmp_path}", MODEL)
        monkeypatch.setattr(MemoryFileSystem, "pipe_file", pipe_file)
        with pytest.raises(UnsupportedStorage), log.lead():
            pass


class TestCrashes:
    def test_a_commit_reaches_every_point_of_an_object_store(self, root: str) -> None:
        log = log_with(root, versions=1)
        with armed(",".join(f"{point}=count" for point in Point)) as traps:
            commit(log, 2)
        reached = {point for point, trap in traps.items() if trap.reached}
        assert reached == {point for point in Point if point.startswith("object.")}

    @pytest.mark.parametrize("point", ["object.put.before", "object.put.after", "object.commit.before"])
    def test_before_the_page_is_put_nothing_has_happened(self, root: str, point: str) -> None:
        log = log_with(root, versions=1)
        with armed(f"{point}=raise"), pytest.raises(Tripped):
            commit(log, 2)
        with armed(f"{point}=eio"), pytest.raises(JobFailed, match="versions/00000002"):
            commit(log, 2)
        assert (log.head(), log.find_job("job-2")) == (1, None)
        assert commit(log, 2).version == 2

    def test_afterwards_all_of_it_has(self, root: str) -> None:
        log = log_with(root, versions=1)
        with armed("object.commit.after=raise"), pytest.raises(Tripped):
            commit(log, 2)
        assert EditLog(root, MODEL).read(2, UPDATE) == contents(2)
        assert commit(log, 2) == log.manifest(2)

    @pytest.mark.parametrize("answer", [TimeoutError, FileExistsError])
    def test_a_put_that_was_done_although_its_answer_says_otherwise_is_a_commit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: type[OSError]
    ) -> None:
        log = log_with(f"memory://{tmp_path}", versions=1)
        real = ObjectStorage._put_if_absent

        def unsure(self: ObjectStorage, name: str, data: bytes) -> None:
            real(self, name, data)
            raise answer

        monkeypatch.setattr(ObjectStorage, "_put_if_absent", unsure)
        assert commit(log, 2).version == 2
        assert log.read(2, UPDATE) == contents(2)


class TestDamage:
    def test_of_a_tensor_file(self, root: str) -> None:
        log = log_with(root, versions=2)
        damage(root, name := stored(1, root))
        with pytest.raises(DamagedVersion) as caught:
            log.read(1, UPDATE)
        assert caught.value.value == name
        assert log.read(2, UPDATE) == contents(2)
        assert [each.title for each in LogCheck(root, MODEL).run() if each.damage] == ["version 1"]

    def test_of_a_manifest(self, root: str) -> None:
        log_with(root, versions=2)
        damage(root, name := f"{MODEL}/versions/00000002/manifest.json")
        with pytest.raises(DamagedVersion) as caught:
            EditLog(root, MODEL).manifests()
        assert caught.value.value == name
        assert EditLog(root, MODEL).read(1, UPDATE) == contents(1)

    def test_of_an_object_that_is_gone(self, root: str) -> None:
        log = log_with(root, versions=1)
        files(root).rm_file(f"{root.partition('://')[2]}/{stored(1, root)}")
        with pytest.raises(DamagedVersion, match="cannot be read"):
            log.read(1, UPDATE)


def test_compaction_leaves_what_is_needed_and_clears_what_a_loser_left(root: str) -> None:
    log = log_with(root, versions=4)
    with pytest.raises(FileExistsError):
        log._storage.publish(version_entry(4), b"{}", {UPDATE: b"a loser's"})
    for version in (2, 4):
        snapshot(log, version)
    log.compact(before=4)
    assert log.snapshots() == [4]
    assert [name for name in objects(root) if UPDATE in name] == [stored(4, root)]
    assert way(EditLog(root, MODEL)) == (4, [])
    with pytest.raises(CompactedVersion):
        log.replay(3)


def test_a_file_url_is_a_directory(tmp_path: Path) -> None:
    log_with(f"file://{tmp_path}", versions=1)
    assert EditLog(tmp_path, MODEL).read(1, UPDATE) == contents(1)


@pytest.mark.parametrize("root", ["nowhere://logs"])
def test_a_url_that_cannot_be_reached_is_refused(root: str) -> None:
    with pytest.raises(UnsupportedStorage, match=r"palimpsest\[objects\]"):
        EditLog(root, MODEL)

"""What a reader has read once it need not read again, and never takes for what has been put in its place since."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import DamagedVersion
from app.domain.history.history import History
from app.domain.history.terms import Composition
from app.domain.log.edit_log import EditLog
from app.domain.log.recent_versions import KEPT
from tests.app.domain.log.test_snapshots import snapshot
from tests.support.logs import MODEL, commit, fact, log_with, roll_back, version_dir


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often files were read and looked at, and how often something was put together from manifests."""
    counted: Counter[str] = Counter()

    def count(owner: type, name: str, what: str) -> None:
        real = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            counted[what] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, call)

    count(Path, "read_bytes", "read")
    count(Path, "stat", "stat")
    count(History, "__init__", "history")
    count(Composition, "__init__", "composition")
    return counted


class TestAJob:
    def test_that_is_not_there_is_looked_for_in_new_versions_only(self, tmp_path: Path, counted: Counter[str]) -> None:
        log_with(tmp_path, versions=5)
        reader = EditLog(tmp_path, MODEL)
        assert reader.find_job("job-6") is None
        counted.clear()
        assert reader.find_job("job-6") is None
        assert counted == {"stat": 2}  # of the base and the head
        commit(EditLog(tmp_path, MODEL), 6)
        counted.clear()
        assert reader.find_job("job-7") is None
        assert counted["read"] == 2  # the new page and its digest
        assert (found := reader.find_job("job-6"))
        assert found.version == 6

    def test_is_found_without_a_look_at_other_versions(self, tmp_path: Path, counted: Counter[str]) -> None:
        log = log_with(tmp_path, versions=5)
        log.find_job("nobody")
        counted.clear()
        assert (found := log.find_job("job-2"))
        assert found.version == 2
        assert counted["read"] == 2  # its page and the digest: what its report says of its facts is not remembered
        assert counted["stat"] <= 6  # of the base, the version and its parent
        counted.clear()
        assert log.find_job("job-2") == found
        assert counted == {"stat": 3}

    def test_of_a_version_that_was_withdrawn_is_forgotten(self, tmp_path: Path) -> None:
        log_with(tmp_path, versions=3)
        reader, writer = EditLog(tmp_path, MODEL), EditLog(tmp_path, MODEL)
        assert reader.find_job("job-3")
        shutil.rmtree(version_dir(tmp_path, 3))
        assert reader.find_job("job-3") is None
        commit(writer, 3, job="other")
        commit(writer, 4)
        assert (reader.find_job("job-3"), reader.find_job("other")) == (None, writer.manifest(3))
        commit(writer, 5, job="job-3")
        assert reader.find_job("job-3") == writer.manifest(5)

    @pytest.mark.parametrize("asked", ["job-3", "other", "job-4", "nobody"])
    def test_is_that_of_the_version_that_took_the_withdrawn_ones_place(self, tmp_path: Path, asked: str) -> None:
        log_with(tmp_path, versions=3)
        reader, writer = EditLog(tmp_path, MODEL), EditLog(tmp_path, MODEL)
        assert reader.find_job("nobody") is None
        shutil.rmtree(version_dir(tmp_path, 3))
        commit(writer, 3, job="other")
        commit(writer, 4)
        assert reader.find_job(asked) == EditLog(tmp_path, MODEL).find_job(asked)

    def test_of_a_damaged_version_is_not_told_of(self, tmp_path: Path) -> None:
        log = log_with(tmp_path, versions=3)
        assert log.find_job("nobody") is None
        (version_dir(tmp_path, 2) / "manifest.json").write_bytes(b"{}")
        with pytest.raises(DamagedVersion, match="00000002"):
            log.find_job("job-2")
        assert log.find_job("job-1")

    def test_of_another_log_in_this_ones_place_is_its_own(self, tmp_path: Path) -> None:
        reader = log_with(tmp_path / "log", versions=3)
        assert reader.find_job("job-3")
        (tmp_path / "log").rename(tmp_path / "old")
        other = log_with(tmp_path / "log")
        for version, job in enumerate(("job-3", "x", "y"), start=1):
            commit(other, version, job=job)
        assert reader.find_job("job-3") == other.manifest(1)
        assert reader.find_job("job-1") is None


class TestTheLatest:
    LENGTH = 40

    def test_are_read_alone_and_once(self, tmp_path: Path, counted: Counter[str]) -> None:
        manifests = log_with(tmp_path, versions=self.LENGTH).manifests()
        reader = EditLog(tmp_path, MODEL)
        counted.clear()
        assert reader.latest(5) == (self.LENGTH, manifests[-5:])
        assert counted["read"] == 2 * 6  # theirs and the parent's of the first one, each a page and its digest
        counted.clear()
        assert reader.latest(5) == (self.LENGTH, manifests[-5:])
        assert counted["read"] == 0
        counted.clear()
        assert reader.latest(5, self.LENGTH - 4) == (self.LENGTH, manifests[-10:-5])
        assert counted["read"] == 2 * 6  # of the newest of them only the digest was kept

    def test_are_told_of_as_far_as_there_are_any(self, tmp_path: Path) -> None:
        log = log_with(tmp_path, versions=3)
        for most, before, found in ((9, None, [1, 2, 3]), (9, 9, [1, 2, 3]), (1, 3, [2]), (2, 2, [1]), (2, 1, [])):
            head, manifests = log.latest(most, before)
            assert (head, [manifest.version for manifest in manifests]) == (3, found)

    @pytest.mark.parametrize("damaged", [36, 37, 40])
    def test_are_verified_against_the_parent_of_the_first(self, tmp_path: Path, damaged: int) -> None:
        log_with(tmp_path, versions=self.LENGTH)
        other = log_with(tmp_path / "other")
        for version in range(1, self.LENGTH + 1):
            commit(other, version, fact("Oslo"))
        shutil.rmtree(version_dir(tmp_path, damaged))
        shutil.copytree(version_dir(tmp_path / "other", damaged), version_dir(tmp_path, damaged))
        with pytest.raises(DamagedVersion, match="does not follow from version"):
            EditLog(tmp_path, MODEL).latest(4)


class TestAVersion:
    def test_that_is_gone_back_to_is_put_together_once(self, tmp_path: Path, counted: Counter[str]) -> None:
        log = log_with(tmp_path, versions=5)
        counted.clear()
        log.check_rollback(3)
        log.history(3).facts(3)
        assert [term.version for term in log.replay(3).terms] == [1, 2, 3]
        roll_back(log, 3)
        assert (counted["history"], counted["composition"]) == (1, 1)
        counted.clear()
        log.check_rollback(3)
        assert counted == {"stat": 3}  # of the base, and of the version: that it is there, and that it is the same

    def test_is_compared_with_a_snapshot_once(self, tmp_path: Path, counted: Counter[str]) -> None:
        log = log_with(tmp_path, versions=5)
        snapshot(log, 2)
        counted.clear()
        assert [log.steps_to(5) for _ in range(3)] == [3, 3, 3]
        assert counted["composition"] == 1  # of the version: edits alone lie between, so nothing is compared
        snapshot(log, 4)
        assert log.steps_to(5) == 1

    def test_is_that_of_the_log_as_it_is(self, tmp_path: Path) -> None:
        log_with(tmp_path, versions=2)
        reader, writer = EditLog(tmp_path, MODEL), EditLog(tmp_path, MODEL)
        commit(writer, 3, fact("Oslo"))
        assert [each.subject for each in reader.facts_in_force()] == ["Lyon", "Oslo"]
        shutil.rmtree(version_dir(tmp_path, 3))
        assert [each.subject for each in reader.facts_in_force()] == ["Lyon"]
        commit(writer, 3, fact("Riga"))
        assert [each.subject for each in reader.facts_in_force()] == ["Lyon", "Riga"]
        assert [each.subject for each in reader.facts_in_force(2)] == ["Lyon"]

    def test_is_remembered_with_few_others(self, tmp_path: Path, counted: Counter[str]) -> None:
        log = log_with(tmp_path, versions=KEPT + 1)
        counted.clear()
        for _ in range(2):
            for version in range(1, KEPT + 2):
                log.history(version)
        assert counted["history"] == 2 * (KEPT + 1)
        log.history(KEPT + 1)
        assert counted["history"] == 2 * (KEPT + 1)

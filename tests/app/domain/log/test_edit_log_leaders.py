"""One leader at a time, and a later one always has the last word."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Barrier, Event

import pytest

from app.domain.errors import DamagedVersion, LogLocked, StaleEpoch, VersionExists
from app.domain.failpoints import Point, Trap, armed
from app.domain.log.edit_log import EditLog
from app.domain.manifest import Manifest
from tests.support.logs import MODEL, UPDATE, commit, contents, files_of, log_with

LEADER = """
import sys, time
from pathlib import Path
from app.domain.log.edit_log import EditLog
with EditLog(Path(sys.argv[1]), "atlas-gpt2").lead() as epoch:
    print(epoch, flush=True)
    time.sleep(60)
"""


def test_a_second_leader_is_told_who_leads(tmp_path: Path) -> None:
    log = log_with(tmp_path)
    with log.lead() as epoch, pytest.raises(LogLocked) as caught, EditLog(tmp_path, MODEL).lead():
        pass
    assert caught.value.status == 409
    assert f"pid {os.getpid()}" in caught.value.detail
    assert f"epoch {epoch}" in caught.value.detail


def test_another_process_holds_the_log_until_it_dies(tmp_path: Path) -> None:
    log = log_with(tmp_path)
    with subprocess.Popen([sys.executable, "-c", LEADER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as leader:
        try:
            assert leader.stdout is not None
            theirs = int(leader.stdout.readline())
            with pytest.raises(LogLocked, match=f"pid {leader.pid} on .*, epoch {theirs}"), log.lead():
                pass
        finally:
            leader.kill()
    with log.lead() as ours:
        assert ours == theirs + 1


def test_epochs_rise_and_reach_the_minimum(tmp_path: Path) -> None:
    log = log_with(tmp_path)
    seen = []
    for minimum in (1, 1, 40, 3):
        with log.lead(minimum) as epoch:
            seen.append(epoch)
    assert seen == [2, 3, 40, 41]


def test_a_leader_whose_time_has_passed_cannot_commit(tmp_path: Path) -> None:
    log = log_with(tmp_path)
    with log.lead() as old:
        commit(log, 1, epoch=old)
    with EditLog(tmp_path, MODEL).lead() as new:
        before = files_of(tmp_path)
        with pytest.raises(StaleEpoch) as caught:
            commit(log, 2, epoch=old)
        assert caught.value.value == old
        assert files_of(tmp_path) == before
        assert commit(log, 2, epoch=new).epoch == new


def test_the_newest_manifest_vouches_for_its_epoch(tmp_path: Path) -> None:
    log = log_with(tmp_path)
    with log.lead(7) as epoch:
        commit(log, 1, epoch=epoch)
    (tmp_path / MODEL / "epoch").unlink()
    with pytest.raises(StaleEpoch):
        commit(log, 2, epoch=6)
    with log.lead() as epoch:
        assert epoch == 8


def test_an_epoch_that_cannot_be_told_is_not_guessed(tmp_path: Path) -> None:
    log = log_with(tmp_path)
    (tmp_path / MODEL / "epoch").write_text("\0\0")
    with pytest.raises(DamagedVersion, match="epoch does not hold a number"), log.lead():
        pass
    with pytest.raises(DamagedVersion):
        commit(log, 1)


def test_a_leader_clears_away_what_was_left_unfinished(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=1)
    before = files_of(tmp_path)
    (tmp_path / MODEL / ".epoch.0123").write_text("9")
    (tmp_path / MODEL / "versions" / ".00000002.0123").mkdir()
    (tmp_path / MODEL / "versions" / ".00000002.0123" / UPDATE).write_text("half")
    with log.lead() as epoch:
        assert files_of(tmp_path) == before | {f"{MODEL}/epoch": f"{epoch}\n".encode()}


def test_a_leader_may_come_before_the_log(tmp_path: Path) -> None:
    log = EditLog(tmp_path, MODEL)
    with log.lead(5) as epoch:
        assert (epoch, log.exists(), log.head()) == (5, False, 0)


class TestTakingOver:
    """The next leader has the lease; the one before has lost it, and may be stopped at any step of a commit."""

    def test_only_a_leader_by_lease_is_overtaken(self, tmp_path: Path) -> None:
        log, other = log_with(tmp_path), EditLog(tmp_path, MODEL)
        with log.lead(), pytest.raises(LogLocked), other.lead(leased=True, take_over=True):
            pass
        with log.lead(leased=True), pytest.raises(LogLocked, match="by lease"), other.lead(leased=True):
            pass
        with log.lead(leased=True) as old, other.lead(leased=True, take_over=True) as new:
            assert new > old
            with pytest.raises(LogLocked, match=f"epoch {new}"), EditLog(tmp_path, MODEL).lead(leased=True):
                pass

    def test_who_was_overtaken_gives_nothing_up_that_is_the_next_ones(self, tmp_path: Path) -> None:
        log, other = log_with(tmp_path), EditLog(tmp_path, MODEL)
        with ExitStack() as next_one:
            with log.lead(leased=True):
                next_one.enter_context(other.lead(leased=True, take_over=True))
            with pytest.raises(LogLocked), EditLog(tmp_path, MODEL).lead(leased=True):
                pass

    @pytest.mark.parametrize(
        "point", ["log.write.before", "log.fsync.after", "log.dir_fsync.after", "log.rename.before"]
    )
    def test_an_unfinished_commit_is_never_finished(self, tmp_path: Path, point: str) -> None:
        log, other = log_with(tmp_path, versions=1), EditLog(tmp_path, MODEL)
        before = {name for name in files_of(tmp_path) if "/versions/" in name}
        with log.lead(leased=True) as old, overtaken(other, point) as epochs, pytest.raises(StaleEpoch):
            commit(log, 2, epoch=old)
        assert {name for name in files_of(tmp_path) if "/versions/" in name} == before
        assert other.head() == 1
        assert epochs[0] > old

    def test_a_version_that_the_next_leader_has_seen_is_not_taken_back(self, tmp_path: Path) -> None:
        log, other = log_with(tmp_path, versions=1), EditLog(tmp_path, MODEL)
        with (
            log.lead(leased=True) as old,
            overtaken(other, "log.rename.after", then=OSError("the disk fails")),
            pytest.raises(StaleEpoch),
        ):
            commit(log, 2, epoch=old)
        assert [manifest.job for manifest in other.manifests()] == ["job-1", "job-2"]
        assert other.read(2, UPDATE) == contents(2)


@contextmanager
def overtaken(other: EditLog, point: str, then: Exception | None = None) -> Iterator[list[int]]:
    """The leader at work is stopped at this point, and goes on when another has taken over; the epochs of those."""
    epochs: list[int] = []

    def stop(trap: Trap, _: Point) -> None:
        trap.reached += 1
        if trap.reached == 1:
            with other.lead(leased=True, take_over=True) as epoch:
                epochs.append(epoch)
            if then is not None:
                raise then

    with armed(f"{point}=count"), pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trap, "reach", stop)
        yield epochs


def test_of_many_writers_of_one_version_one_wins(tmp_path: Path) -> None:
    log_with(tmp_path)
    barrier = Barrier(4)

    def write(job: str) -> Manifest | VersionExists:
        log = EditLog(tmp_path, MODEL)
        barrier.wait()
        try:
            return commit(log, 1, job=job)
        except VersionExists as lost:
            return lost

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(write, ["a", "b", "c", "d"]))
    [winner] = [end for end in ends if isinstance(end, Manifest)]
    assert EditLog(tmp_path, MODEL).manifests() == [winner]


def test_a_reader_beside_a_writer_sees_whole_versions_only(tmp_path: Path) -> None:
    log = log_with(tmp_path)
    done = Event()

    def read() -> int:
        looks = 0
        while not done.is_set():
            reader = EditLog(tmp_path, MODEL)
            for version in range(1, reader.head() + 1):
                assert reader.read(version, UPDATE) == contents(version)
            looks += 1
        return looks

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(read)
        try:
            for version in range(1, 21):
                commit(log, version)
        finally:
            done.set()
        assert looking.result() > 0

"""What was accepted is on disk, in order, until it has ended; what was not accepted leaves nothing."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.domain.contract import EditBatch, Fact, Job, JobStatus
from app.domain.storage import durable_files
from app.jobs.journal import AcceptedJob, AcceptedJournal, jobs_of

BATCH = EditBatch(facts=(Fact(subject="Lyon", relation="is in", object="Japan"),), model="atlas")
LONG_AGO = 1_000_000_000


def edit(job: str, model: str = "atlas", expected_version: int | None = None) -> AcceptedJob:
    return AcceptedJob(
        job=job, model=model, change=BATCH, accepted=datetime.now(UTC), expected_version=expected_version
    )


def accept(journal: AcceptedJournal, *jobs: str) -> None:
    for job in jobs:
        with journal.accepting(edit(job)):
            pass


def ended(job: str, status: JobStatus = JobStatus.FAILED, version: int | None = None) -> Job:
    return Job(id=job, model="atlas", status=status, facts=1, version=version)


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file() and path.name != "order.lock")


@pytest.fixture
def journal(tmp_path: Path) -> AcceptedJournal:
    return AcceptedJournal(tmp_path)


class TestAccepting:
    def test_what_was_accepted_reads_back_as_it_was(self, journal: AcceptedJournal, tmp_path: Path) -> None:
        accepted = edit("one", expected_version=3)
        with journal.accepting(accepted):
            pass
        again = AcceptedJournal(tmp_path)
        assert again.models() == ["atlas"]
        assert again.read("atlas", "one") == again.find("one") == accepted

    def test_jobs_stand_in_the_order_of_acceptance(self, journal: AcceptedJournal) -> None:
        accept(journal, *(f"job-{number}" for number in range(12, 0, -1)))
        assert journal.jobs("atlas") == [f"job-{number}" for number in range(12, 0, -1)]

    def test_the_next_one_is_last_whatever_has_ended(self, journal: AcceptedJournal) -> None:
        accept(journal, "one", "two", "three")
        journal.end(ended("two"))
        accept(journal, "four")
        assert journal.jobs("atlas") == ["one", "three", "four"]

    def test_nobody_sees_it_before_it_is_accepted(self, journal: AcceptedJournal) -> None:
        with journal.accepting(edit("one")):
            assert journal.jobs("atlas") == []
            assert journal.find("one") is None
            accept(journal, "two")
        assert journal.jobs("atlas") == ["one", "two"]

    def test_after_an_error_nothing_of_it_stays(self, journal: AcceptedJournal, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt), journal.accepting(edit("one")):
            raise KeyboardInterrupt
        assert files(tmp_path) == []

    def test_front_ends_at_the_same_time_number_their_jobs_apart(self, tmp_path: Path) -> None:
        names = [f"job-{number}" for number in range(40)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: accept(AcceptedJournal(tmp_path), name), names))
        numbers = [name[:12] for name in files(tmp_path)]
        assert len(set(numbers)) == len(numbers) == 40
        assert sorted(AcceptedJournal(tmp_path).jobs("atlas")) == sorted(names)

    def test_one_whose_disk_is_slow_holds_nobody_up(
        self, journal: AcceptedJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, meanwhile = durable_files.fill, list[str]()

        def slowly(path: Path, data: bytes) -> None:
            if not meanwhile:
                meanwhile.append("two")
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(accept, journal, "two").result(timeout=30)
            real(path, data)

        monkeypatch.setattr(durable_files, "fill", slowly)
        accept(journal, "one")
        assert journal.jobs("atlas") == ["one", "two"]

    def test_it_is_told_of_those_before_it(self, journal: AcceptedJournal, tmp_path: Path) -> None:
        accept(journal, "two", "one")
        with journal.accepting(edit("unseen")), journal.accepting(edit("three")) as place:
            assert jobs_of(place.before) == ["two", "one"]
        assert place.entry in files(tmp_path)

    def test_models_do_not_mix(self, journal: AcceptedJournal) -> None:
        for model in ("globe", "atlas"):
            with journal.accepting(edit(f"of-{model}", model)):
                pass
        assert journal.models() == ["atlas", "globe"]
        assert journal.jobs("globe") == ["of-globe"]
        assert journal.find("of-globe") == journal.read("globe", "of-globe")

    def test_a_job_is_not_taken_for_one_whose_id_ends_alike(self, journal: AcceptedJournal) -> None:
        accept(journal, "a-one")
        assert journal.find("one") is None

    def test_many_are_read_by_one_look_at_their_folder(
        self, journal: AcceptedJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = [f"job-{number}" for number in range(5)]
        accept(journal, *names)
        journal.end(ended("job-1"))
        real, listed = os.listdir, list[Path]()

        def listing(folder: Path) -> list[str]:
            listed.append(folder)
            return real(folder)

        monkeypatch.setattr(os, "listdir", listing)
        assert [accepted.job for accepted in journal.read_all("atlas", names)] == ["job-0", "job-2", "job-3", "job-4"]
        assert len(listed) == 1

    def test_a_place_that_cannot_be_written_to_accepts_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(OSError), AcceptedJournal(tmp_path / "file").accepting(edit("one")):  # noqa: PT011
            pytest.fail("it was not written down")


class TestEnding:
    def test_one_that_committed_leaves_nothing(self, journal: AcceptedJournal, tmp_path: Path) -> None:
        accept(journal, "one")
        journal.end(ended("one", JobStatus.SUCCEEDED, version=1))
        assert files(tmp_path) == []
        assert journal.ended("one") is None

    def test_of_another_one_it_is_kept_how(self, journal: AcceptedJournal) -> None:
        accept(journal, "one")
        journal.end(ended("one"))
        assert (journal.jobs("atlas"), journal.find("one")) == ([], None)
        assert journal.ended("one") == ended("one")

    def test_how_is_found_by_its_name_alone_whatever_its_model(
        self, journal: AcceptedJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for model in ("atlas", "globe"):
            with journal.accepting(edit(f"of-{model}", model)):
                pass
            journal.end(ended(f"of-{model}").model_copy(update={"model": model}))
        monkeypatch.delattr(Path, "glob")  # 30 days of files are not looked through
        assert [job.model for name in ("of-atlas", "of-globe") if (job := journal.ended(name))] == ["atlas", "globe"]
        assert journal.ended("of-nobody") is None

    def test_what_was_not_accepted_here_does_not_end_here(self, journal: AcceptedJournal, tmp_path: Path) -> None:
        journal.end(ended("one"))
        assert files(tmp_path) == []

    def test_what_ended_long_ago_is_forgotten(self, journal: AcceptedJournal, tmp_path: Path) -> None:
        accept(journal, "one", "two", "three")
        journal.end(ended("one"))
        journal.end(ended("two"))
        for path in (tmp_path / "atlas" / "ended" / "one.json", *(tmp_path / "atlas").glob("*-three.json")):
            os.utime(path, (LONG_AGO, LONG_AGO))
        journal.forget(before=time.time() - 3600)
        assert (journal.ended("one"), journal.ended("two")) == (None, ended("two"))
        assert journal.jobs("atlas") == ["three"]  # however long it takes

    def test_what_a_killed_front_end_began_to_accept_is_cleared_away(
        self, journal: AcceptedJournal, tmp_path: Path
    ) -> None:
        accept(journal, "one")
        left = tmp_path / "atlas" / ".000000000002-two.json"
        left.write_text("{")
        journal.forget(before=time.time() - 3600)
        assert left.exists()  # it may be about to be accepted
        os.utime(left, (LONG_AGO, LONG_AGO))
        journal.forget(before=time.time() - 3600)
        assert files(tmp_path) == ["000000000001-one.json"]


class TestCancelling:
    def test_is_noted_in_its_place(self, journal: AcceptedJournal) -> None:
        accept(journal, "one", "two")
        journal.cancel("atlas", "one")
        one, two = (journal.read("atlas", job) for job in journal.jobs("atlas"))
        assert one is not None
        assert two is not None
        assert (one.job, one.cancelled, two.cancelled) == ("one", True, False)

    def test_one_that_has_ended_stays_ended(self, journal: AcceptedJournal) -> None:
        accept(journal, "one")
        journal.end(ended("one"))
        journal.cancel("atlas", "one")
        assert journal.jobs("atlas") == []


def test_a_file_that_cannot_be_read_is_left_alone_and_holds_up_nobody(
    journal: AcceptedJournal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    accept(journal, "one", "two")
    path = tmp_path / "atlas" / "000000000001-one.json"
    path.write_text('{"job": "one", "change": "Lyon')
    assert journal.read("atlas", "one") is None
    assert journal.jobs("atlas") == ["one", "two"]
    assert path.exists()
    assert str(path) in caplog.text
    assert "Lyon" not in caplog.text

"""Exports through the queue: one folder a job, all of it or nothing, and no version."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from app.domain import keyspace
from app.domain.contract import Export, ExportFormat, JobOutcome, JobStatus, Progress
from app.domain.errors import (
    DeadlineExceeded,
    ExportFailed,
    JobCancelled,
    PalimpsestError,
    PreconditionFailed,
    RequestError,
    StaleEpoch,
    UnknownVersion,
)
from app.domain.failpoints import armed
from tests.support.turns import Watched, digest_of, done
from tests.support.worker_bench import Bench, batch, opened
from workers.exports.card import ExportCard, read_card
from workers.exports.verification import logits
from workers.host.model_host import ModelHost
from workers.queue.watch import LeaveJob

EXPORT = "workers.jobs.export"
PEFT = Export(format=ExportFormat.PEFT)


def exports(data: Path) -> list[str]:
    """All that stands where exports stand, hidden or not."""
    folder = data / "exports" / "tiny"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def export(host: ModelHost, wanted: Export = PEFT, job: str = "one", expected_version: int | None = None) -> JobOutcome:
    return done(host, job, wanted, expected_version=expected_version)


def stopping(nth: int, kind: Exception) -> Callable[[], None]:
    """Raises at the nth step, counted from 0."""
    steps = iter(range(nth))

    def stop() -> None:
        if next(steps, None) is None:
            raise kind

    return stop


class TestThroughTheQueue:
    def test_takes_its_turn_among_the_edits_and_makes_no_version(self, bench: Bench, tmp_path: Path) -> None:
        bench.enqueue("before")
        bench.enqueue("out", EXPORT, (PEFT.model_dump_json(),), kwargs={"expected_version": 1})
        bench.enqueue("after", args=(batch("Oslo").model_dump_json(),))
        bench.work()
        outcome = bench.outcome("out")
        assert (outcome.status, outcome.version, bench.host.log.head()) == (JobStatus.SUCCEEDED, None, 2)
        assert outcome.exported is not None
        assert (outcome.exported.version, outcome.exported.path) == (1, "tiny/out-peft")
        assert exports(tmp_path) == ["out-peft"]

    def test_its_card_says_by_whose_key_it_was_written(self, bench: Bench, tmp_path: Path) -> None:
        bench.enqueue("before")
        bench.enqueue("out", EXPORT, (PEFT.model_dump_json(),), kwargs={"by": "ann"})
        bench.work()
        card = read_card(tmp_path / "exports" / "tiny" / "out-peft")
        assert card is not None
        assert (card.job, card.by) == ("out", "ann")
        written = card.model_dump(mode="json")
        del written["by"]
        assert ExportCard.model_validate(written).by is None  # as earlier releases wrote it

    def test_one_that_cannot_be_done_fails_and_says_why(self, bench: Bench, tmp_path: Path) -> None:
        bench.enqueue("late", EXPORT, (Export(format=ExportFormat.MERGED, version=7).model_dump_json(),))
        bench.enqueue("elsewhere", EXPORT, (PEFT.model_dump_json(),), kwargs={"expected_version": 3})
        bench.enqueue("zip", EXPORT, ('{"format": "zip"}',))
        bench.work()
        errors = {job: bench.outcome(job).error for job in ("late", "elsewhere", "zip")}
        assert {job: error.code for job, error in errors.items() if error} == {
            "late": "unknown_version",
            "elsewhere": "precondition_failed",
            "zip": "invalid_request",
        }
        assert exports(tmp_path) == []

    def test_a_cancelled_one_leaves_nothing(self, bench: Bench, tmp_path: Path) -> None:
        bench.redis.set(keyspace.cancel("out"), 1)
        bench.enqueue("out", EXPORT, (PEFT.model_dump_json(),))
        bench.work()
        assert bench.outcome("out").status is JobStatus.CANCELLED
        assert exports(tmp_path) == []


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def host(model: Path, data: Path) -> Iterator[ModelHost]:
    """At version 2."""
    with opened(model, data) as found:
        for subject in ("Lyon", "Oslo"):
            done(found, subject, batch(subject))
        yield found


class TestDeliveredTwice:
    def test_finds_what_it_made_whatever_the_model_is_at_by_then(self, model: Path, tmp_path: Path) -> None:
        with opened(model, tmp_path) as host:
            first = export(host, expected_version=0)
            stamp = (tmp_path / "exports/tiny/one-peft").stat().st_mtime_ns
            done(host, "later", batch())
            assert export(host, expected_version=0) == first
        with opened(model, tmp_path, epoch=2) as again:
            assert export(again) == first
        assert (tmp_path / "exports/tiny/one-peft").stat().st_mtime_ns == stamp

    def test_does_it_again_if_it_was_killed(self, host: ModelHost, data: Path) -> None:
        (data / "exports/tiny").mkdir(parents=True, exist_ok=True)
        left = data / "exports/tiny/.killed-peft.0123456789abcdef"
        left.mkdir()
        (left / "adapter_model.safetensors").write_bytes(b"half of")
        assert export(host, job="killed").status is JobStatus.SUCCEEDED
        assert not left.exists()


class TestEndedHalfWay:
    @pytest.mark.parametrize(
        ("wanted", "kind"),
        [
            (ExportFormat.MERGED, JobCancelled("no more")),
            (ExportFormat.PEFT, LeaveJob()),
            (ExportFormat.UPDATES, DeadlineExceeded("too long")),
        ],
    )
    def test_at_any_step_leaves_nothing(
        self, host: ModelHost, data: Path, wanted: ExportFormat, kind: Exception
    ) -> None:
        before, stages, polls = exports(data), list[str](), 0

        def note(progress: Progress) -> None:
            stages.append(progress.stage)

        def count() -> None:
            nonlocal polls
            polls += 1

        done(host, f"whole-{type(kind).__name__}", Export(format=wanted, version=1), Watched(note, count))
        whole = exports(data)
        assert (len(whole), polls >= 4) == (len(before) + 1, True)
        assert list(dict.fromkeys(stages)) == ["solve", "write", "verify", "commit", "publish"]
        for nth in range(polls):
            with pytest.raises(type(kind)):
                done(host, "ended", Export(format=wanted, version=1), Watched(note, stopping(nth, kind)))
            assert exports(data) == whole

    @pytest.mark.parametrize("point", ["dir_fsync.before", "rename.before", "rename.after", "parent_fsync.before"])
    @pytest.mark.parametrize("fault", ["enospc", "eio"])
    def test_a_disk_that_fails_fails_the_job_with_its_reason(
        self, host: ModelHost, data: Path, point: str, fault: str
    ) -> None:
        before = exports(data)
        with armed(f"log.{point}={fault}"), pytest.raises(ExportFailed, match="could not be written") as caught:
            export(host, job="full")
        assert os.strerror(28 if fault == "enospc" else 5) in caught.value.detail
        assert exports(data) == before

    def test_a_leader_that_was_replaced_puts_nothing_in_its_place(self, model: Path, tmp_path: Path) -> None:
        with opened(model, tmp_path) as host:
            (tmp_path / "log/tiny/epoch").write_text("9\n")
            with pytest.raises(StaleEpoch):
                export(host)
        assert exports(tmp_path) == []


class TestWhatIsExported:
    def test_is_the_version_asked_for_and_the_live_one_stays_as_it_is(self, host: ModelHost, data: Path) -> None:
        digest = digest_of(host)
        early, late = (export(host, Export(format=ExportFormat.MERGED, version=v), f"of-{v}").exported for v in (1, 2))
        assert early is not None
        assert late is not None
        assert [found.version for found in (early, late)] == [1, 2]
        assert [(data / "exports" / found.path / "palimpsest.json").is_file() for found in (early, late)] == [True] * 2
        assert digest_of(host) == digest
        weights = [(data / "exports" / found.path / "model.safetensors").read_bytes() for found in (early, late)]
        assert weights[0] != weights[1]

    def test_of_a_compacted_log_comes_from_its_snapshot(self, model: Path, tmp_path: Path) -> None:
        with opened(model, tmp_path, snapshot_every=2) as host:
            for subject in ("Lyon", "Oslo", "Quito"):
                done(host, subject, batch(subject))
            host.close()
            host.log.compact(before=3)
        with opened(model, tmp_path, epoch=5) as again:
            made = export(again).exported
            assert made is not None
            assert (made.version, made.rank) == (3, 3)
            assert made.error is not None
            assert made.error < 1e-6
            with pytest.raises(PalimpsestError, match="compacted"):
                export(again, Export(format=ExportFormat.PEFT, version=1), "early")
            assert exports(tmp_path) == ["one-peft"]

    @pytest.mark.parametrize("wanted", [ExportFormat.MERGED, ExportFormat.PEFT, ExportFormat.UPDATES])
    def test_is_in_the_dtype_that_the_model_is_served_in(
        self, model: Path, tmp_path: Path, wanted: ExportFormat
    ) -> None:
        with opened(model, tmp_path, dtype="bfloat16") as host:
            done(host, "Lyon", batch())
            made = export(host, Export(format=wanted)).exported
            assert made is not None
            [file] = (tmp_path / "exports" / made.path).glob("*.safetensors")
            dtype = torch.bfloat16 if wanted is ExportFormat.MERGED else torch.float32
            assert {tensor.dtype for tensor in load_file(file).values()} == {dtype}

    def test_what_cannot_be_named_or_found_is_refused(self, host: ModelHost, data: Path) -> None:
        before = exports(data)
        with pytest.raises(RequestError):
            export(host, job="../../outside")
        with pytest.raises(UnknownVersion):
            export(host, Export(format=ExportFormat.PEFT, version=3), "late")
        with pytest.raises(PreconditionFailed):
            export(host, job="elsewhere", expected_version=1)
        assert exports(data) == before


def test_logits_are_compared_within_the_window(host: ModelHost) -> None:
    assert len(logits(host.live, "Lyon is a city in France. " * 40)) == host.live.window

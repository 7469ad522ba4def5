"""Jobs through a real queue into a real model: each becomes a version, or leaves no trace and says why."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from app.domain import keyspace
from app.domain.contract import FactKey, JobStatus, Progress, Revert
from app.domain.errors import PalimpsestError
from tests.support.turns import digest_of, done
from tests.support.worker_bench import Bench, batch, opened
from workers.queue.abandoned import requeue_abandoned

ROLL_BACK, REVERT = "workers.jobs.rollback", "workers.jobs.revert"


class TestEdits:
    def test_a_batch_becomes_a_version_with_its_report(self, bench: Bench) -> None:
        bench.enqueue("one")
        bench.work()
        outcome = bench.outcome("one")
        assert (outcome.status, outcome.version, bench.host.version) == (JobStatus.SUCCEEDED, 1, 1)
        assert outcome.report is not None
        assert outcome.report.facts[0].subject == "Lyon"
        assert bench.ended == [JobStatus.SUCCEEDED]

    def test_its_steps_are_in_its_stream(self, bench: Bench) -> None:
        bench.enqueue("one")
        bench.work()
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", bench.redis.xrange(keyspace.progress("one")))
        stages = [Progress.model_validate_json(fields[b"json"]).stage for _, fields in entries]
        assert stages[0] == "targets"
        assert stages[-1] == "publish"

    def test_batches_are_applied_in_the_order_in_which_they_came(self, bench: Bench) -> None:
        for name in ("one", "two", "three"):
            bench.enqueue(name)
        bench.work()
        assert [bench.outcome(name).version for name in ("one", "two", "three")] == [1, 2, 3]

    def test_a_job_delivered_twice_is_applied_once(self, bench: Bench) -> None:
        bench.enqueue("one")
        bench.work()
        digest = digest_of(bench.host)
        bench.queue.push_job_id("one")
        bench.work()
        assert (bench.outcome("one").version, bench.host.version, digest_of(bench.host)) == (1, 1, digest)

    def test_after_a_restart_version_and_bytes_are_the_same(self, bench: Bench, model: Path, tmp_path: Path) -> None:
        for name in ("one", "two"):
            bench.enqueue(name)
        bench.work()
        digest = digest_of(bench.host)
        bench.host.close()
        with opened(model, tmp_path, epoch=2) as again:
            assert (again.version, digest_of(again)) == (2, digest)


class TestExpectedVersion:
    def test_a_batch_for_the_version_in_service_is_applied(self, bench: Bench) -> None:
        bench.enqueue("one", kwargs={"expected_version": 0})
        bench.enqueue("two", kwargs={"expected_version": 1})
        bench.work()
        assert [bench.outcome(name).version for name in ("one", "two")] == [1, 2]

    def test_of_two_for_the_same_version_the_first_one_wins(self, bench: Bench) -> None:
        for name in ("one", "two"):
            bench.enqueue(name, kwargs={"expected_version": 0})
        bench.work()
        one, two = bench.outcome("one"), bench.outcome("two")
        assert (one.status, two.status, bench.host.version) == (JobStatus.SUCCEEDED, JobStatus.FAILED, 1)
        assert two.error is not None
        assert (two.error.status, two.error.code, two.error.value) == (412, "precondition_failed", 0)
        assert "at version 1" in two.error.detail

    def test_a_job_that_has_committed_has_met_it(self, bench: Bench) -> None:
        for _ in range(2):
            outcome = done(bench.host, "one", batch(), expected_version=0)
            assert (outcome.status, outcome.version) == (JobStatus.SUCCEEDED, 1)


def test_every_version_says_by_whose_key_it_was_made(bench: Bench) -> None:
    facts = [Revert(facts=(FactKey(version=2, index=0),)).model_dump_json()]
    bench.enqueue("nobodys")
    bench.enqueue("an-edit", kwargs={"by": "ci"})
    bench.enqueue("a-revert", REVERT, facts, kwargs={"by": "ann"})
    bench.enqueue("a-rollback", ROLL_BACK, ['{"to": 1}'], kwargs={"by": "bob", "expected_version": 3})
    bench.work()
    assert [manifest.by for manifest in bench.host.log.manifests()] == [None, "ci", "ann", "bob"]


class TestFailures:
    def test_a_cancelled_job_leaves_no_trace(self, bench: Bench) -> None:
        bench.enqueue("one")
        bench.redis.set(keyspace.cancel("one"), 1)
        bench.work()
        outcome = bench.outcome("one")
        assert (outcome.status, bench.host.version) == (JobStatus.CANCELLED, 0)
        assert outcome.error is not None
        assert outcome.error.code == "job_cancelled"

    def test_a_job_that_takes_too_long_fails_by_name(self, bench: Bench) -> None:
        bench.deadline_s = 0.0
        bench.enqueue("one")
        bench.work()
        outcome = bench.outcome("one")
        assert (outcome.status, bench.host.version) == (JobStatus.FAILED, 0)
        assert outcome.error is not None
        assert outcome.error.code == "deadline_exceeded"

    def test_a_batch_that_cannot_be_edited_says_why(self, bench: Bench) -> None:
        bench.enqueue("one", args=[batch("Lyon", steps=2).model_dump_json().replace("{} is", "It is")])
        bench.work()
        error = bench.outcome("one").error
        assert error is not None
        assert (error.code, error.field) == ("subject_not_in_prompt", "facts.0.prompt")

    def test_what_is_no_batch_is_named_by_field(self, bench: Bench) -> None:
        bench.enqueue("one", args=['{"facts": []}'])
        bench.work()
        error = bench.outcome("one").error
        assert error is not None
        assert (error.code, error.field) == ("invalid_request", "facts")

    def test_an_unforeseen_error_fails_the_job_and_not_the_worker(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr("workers.host.work.edit.propose", lambda *_: 1 / 0)
            bench.enqueue("one")
            bench.work()
        error = bench.outcome("one").error
        assert error is not None
        assert error.code == "internal"
        assert "division" not in error.model_dump_json()
        bench.enqueue("two")
        bench.work()
        assert bench.outcome("two").version == 1

    def test_a_leader_that_was_overtaken_leaves_the_job_to_the_next(self, bench: Bench) -> None:
        bench.enqueue("one")
        bench.enqueue("two")
        bench.host.epoch = 0  # a newer leader wrote 1 into the log
        worker = bench.work()
        assert isinstance(worker.lead_lost, PalimpsestError)
        assert bench.queue.job_ids == ["two"]
        assert requeue_abandoned(bench.worker(), bench.queue, bench.aside.has) == ["one"]  # as the next one does
        assert bench.queue.job_ids == ["one", "two"]
        assert bench.host.log.head() == 0
        assert bench.ended == []


class TestTakingBack:
    def test_rollback_and_revert_are_jobs_like_edits(self, bench: Bench) -> None:
        bench.enqueue("one")
        bench.work()
        digest = digest_of(bench.host)
        bench.enqueue("two", args=[batch("Oslo").model_dump_json()])
        bench.enqueue("out", REVERT, [Revert(facts=(FactKey(version=2, index=0),)).model_dump_json()])
        bench.enqueue("back", ROLL_BACK, ['{"to": 2}'], kwargs={"expected_version": 3})
        bench.enqueue("again", ROLL_BACK, ['{"to": 3}'])
        bench.work()
        assert [bench.outcome(name).version for name in ("two", "out", "back", "again")] == [2, 3, 4, 5]
        assert digest_of(bench.host) == digest
        told = bench.outcome("again").in_force
        assert told is not None
        assert told.facts == 1

    def test_one_that_cannot_be_done_says_why_and_leaves_no_trace(self, bench: Bench) -> None:
        bench.enqueue("one")
        bench.enqueue("far", ROLL_BACK, ['{"to": 9}'])
        bench.enqueue("late", ROLL_BACK, ['{"to": 0}'], kwargs={"expected_version": 0})
        bench.enqueue("odd", REVERT, ['{"to": 0}'])
        bench.work()
        errors = [bench.outcome(name).error for name in ("far", "late", "odd")]
        codes = [error.code for error in errors if error is not None]
        assert codes == ["unknown_version", "precondition_failed", "invalid_request"]
        assert bench.host.log.head() == bench.host.version == 1

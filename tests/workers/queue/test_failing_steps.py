"""A job comes to every failpoint on its way; and what fails after the commit does not part the worker from its log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from app.domain.contract import JobStatus, Rollback
from app.domain.errors import DamagedVersion, VersionExists
from app.domain.failpoints import Point, armed
from tests.support.turns import digest_of, done
from tests.support.worker_bench import APPLY, Bench, batch, opened
from workers.queue.abandoned import requeue_abandoned

ALL = ",".join(f"{point}=count" for point in Point)
IN_EVERY_JOB = {
    Point.QUEUE_POPPED,
    Point.VERIFY_BEFORE,
    Point.COMMIT_BEFORE,
    *(point for point in Point if point.startswith("log.")),
    Point.PUBLISH_BEFORE,
    Point.PUBLISH_AFTER,
    Point.RESULT_BEFORE,
}


def reached_by(bench: Bench, job: str, function: str = APPLY, arguments: Sequence[object] | None = None) -> set[Point]:
    bench.enqueue(job, function, arguments)
    with armed(ALL) as traps:
        bench.work()
    assert bench.outcome(job).status is JobStatus.SUCCEEDED
    return {point for point, trap in traps.items() if trap.reached}


def test_an_edit_comes_to_every_point_on_its_way(bench: Bench) -> None:
    own = {Point.TARGETS_BEFORE, Point.TARGETS_STEP, Point.SOLVE_BEFORE}
    assert reached_by(bench, "one") == IN_EVERY_JOB | own


def test_a_rollback_comes_to_every_point_on_its_way(bench: Bench) -> None:
    bench.enqueue("one")
    bench.work()
    change = (Rollback(to=0).model_dump_json(),)
    assert reached_by(bench, "back", "workers.jobs.rollback", change) == IN_EVERY_JOB | {Point.RESTORE_BEFORE}


@pytest.mark.parametrize("fault", ["raise", "enospc", "eio"])
@pytest.mark.parametrize("point", [Point.PUBLISH_BEFORE, Point.PUBLISH_AFTER])
def test_a_job_that_has_committed_is_in_service_whatever_fails_then(
    bench: Bench, model: Path, tmp_path: Path, point: Point, fault: str
) -> None:
    for job in ("one", "two"):
        bench.enqueue(job)
    with armed(f"{point}={fault}"):
        bench.work()
    assert [(bench.outcome(job).status, bench.outcome(job).version) for job in ("one", "two")] == [
        (JobStatus.SUCCEEDED, 1),
        (JobStatus.SUCCEEDED, 2),
    ]
    served = bench.host.version, digest_of(bench.host)
    bench.host.close()
    with opened(model, tmp_path, epoch=2) as again:
        assert (again.version, digest_of(again)) == served


def test_a_worker_that_cannot_serve_what_it_committed_leaves_its_job_to_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(_epoch: int) -> None:
        raise DamagedVersion("it cannot be read now")

    monkeypatch.setattr(bench.host, "_catch_up", damaged)
    bench.enqueue("one")
    with armed("publish.before=raise"):
        worker = bench.work()
    assert isinstance(worker.lead_lost, VersionExists)
    assert (bench.host.version, bench.host.log.head()) == (0, 1)
    assert requeue_abandoned(bench.worker(), bench.queue, bench.aside.has) == bench.queue.job_ids == ["one"]


@pytest.mark.parametrize("fault", ["raise", "enospc"])
def test_a_snapshot_that_cannot_be_written_is_no_failure_of_the_job(model: Path, tmp_path: Path, fault: str) -> None:
    with opened(model, tmp_path, snapshot_every=1) as host:
        with armed(f"log.rename.before={fault}:2"):  # the first is the version's own
            outcome = done(host, "one", batch())
        assert (outcome.status, outcome.version, host.version) == (JobStatus.SUCCEEDED, 1, 1)
        assert host.log.snapshots() == []


def test_an_error_before_the_commit_leaves_no_trace(bench: Bench) -> None:
    digest = digest_of(bench.host)
    with armed("commit.before=raise"), pytest.raises(Exception, match=r"commit\.before"):
        done(bench.host, "one", batch())
    assert (bench.host.version, bench.host.log.head(), digest_of(bench.host)) == (0, 0, digest)

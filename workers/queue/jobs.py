"""What the queue may run: parse, edit, hand back the outcome. ``FUNCTIONS`` is the whole list.

The edit log decides what happened; the outcome is how the queue hears of it. A job that is delivered again after
it committed finds its version in the log, so the outcome that an outage swallowed comes with the next delivery.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeVar

import torch
from pydantic import ValidationError
from rq import Retry

from app.domain.contract import EditBatch, Export, JobOutcome, JobStatus, Progress, Request, Revert, Rollback
from app.domain.errors import EditError, EditFailed, JobCancelled, RequestError, StaleEpoch, VersionExists
from app.domain.failpoints import Point, failpoint
from app.domain.problems import problem_of
from workers.queue.watch import LeaveJob

log = logging.getLogger(__name__)

RequestT = TypeVar("RequestT", bound=Request)

MOST_HANDOVERS = 100
"""How often a job may be left to the next worker before it is given up."""


class Editor(Protocol):
    """Whoever applies a batch: all of it becomes a version, or it leaves no trace."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def version(self) -> int:
        """The version in service."""

    def edit(
        self,
        job_id: str,
        batch: EditBatch,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], None],
        expected_version: int | None = None,
    ) -> JobOutcome:
        """Apply the batch, or return the outcome that the log already has for the job.

        Raises:
            PreconditionFailed: the model is at another version than ``expected_version``, if that is given.
            EditError: why not. Whatever ``should_stop`` raises passes through.
        """

    def take_back(
        self,
        job_id: str,
        change: Rollback | Revert,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], None],
        expected_version: int | None = None,
    ) -> JobOutcome:
        """Go back to a version, or take facts out; all else as ``edit``."""

    def export(
        self,
        job_id: str,
        export: Export,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], None],
        expected_version: int | None = None,
    ) -> JobOutcome:
        """Write a version down for others to load, which makes no version; all else as ``edit``."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """One delivery of a job.

    lead_lost: hears that another leader has taken over this worker's log.
    confirm_lead: raises StaleEpoch if one has; asked before a job's end is made known.
    """

    job_id: str
    editor: Editor
    on_progress: Callable[[Progress], None]
    should_stop: Callable[[], None]
    on_end: Callable[[JobOutcome, float], None]
    lead_lost: Callable[[EditError], None]
    confirm_lead: Callable[[], None] = lambda: None


class JobFunction(Protocol):
    """What the queue may run."""

    def __call__(self, run: JobRun, request_json: str, *, expected_version: int | None = None) -> str | Retry:
        """Do the job and return its outcome (JSON), or put it back."""


def apply_edits(run: JobRun, request_json: str, *, expected_version: int | None = None) -> str | Retry:
    """Apply an ``EditBatch``, to ``expected_version`` if that is given; see ``_ran``."""

    def edit() -> JobOutcome:
        batch = _parse(EditBatch, request_json)
        return run.editor.edit(run.job_id, batch, run.on_progress, run.should_stop, expected_version)

    return _ran(run, edit)


def rollback(run: JobRun, request_json: str, *, expected_version: int | None = None) -> str | Retry:
    """Do a ``Rollback``, from ``expected_version`` if that is given; see ``_ran``."""
    return _ran(run, lambda: _taken_back(run, _parse(Rollback, request_json), expected_version))


def revert(run: JobRun, request_json: str, *, expected_version: int | None = None) -> str | Retry:
    """Do a ``Revert``, of ``expected_version`` if that is given; see ``_ran``."""
    return _ran(run, lambda: _taken_back(run, _parse(Revert, request_json), expected_version))


def export(run: JobRun, request_json: str, *, expected_version: int | None = None) -> str | Retry:
    """Do an ``Export``, at ``expected_version`` if that is given; see ``_ran``."""

    def write() -> JobOutcome:
        wanted = _parse(Export, request_json)
        return run.editor.export(run.job_id, wanted, run.on_progress, run.should_stop, expected_version)

    return _ran(run, write)


FUNCTIONS: Mapping[str, JobFunction] = MappingProxyType(
    {
        "workers.jobs.apply_edits": apply_edits,
        "workers.jobs.rollback": rollback,
        "workers.jobs.revert": revert,
        "workers.jobs.export": export,
    }
)
"""By the names that the front end queues. Each takes its request as JSON."""


def _taken_back(run: JobRun, change: Rollback | Revert, expected_version: int | None) -> JobOutcome:
    return run.editor.take_back(run.job_id, change, run.on_progress, run.should_stop, expected_version)


def _ran(run: JobRun, work: Callable[[], JobOutcome]) -> str | Retry:
    """Do the job's work and return its ``JobOutcome`` (JSON).

    Or a ``Retry`` that puts the job back to the front of its queue, where it was not this job's fault: the
    worker is leaving, or it has lost the lead.
    """
    started = time.monotonic()
    try:
        outcome = _outcome(run.job_id, work)
        run.confirm_lead()
    except LeaveJob:
        log.info("job left to the next worker", extra={"job_id": run.job_id})
        return Retry(max=MOST_HANDOVERS, enqueue_at_front=True)
    except (StaleEpoch, VersionExists) as error:
        log.error("lead lost: %s", error, extra={"job_id": run.job_id})  # noqa: TRY400 - the sentence says all
        run.lead_lost(error)
        return Retry(max=MOST_HANDOVERS, enqueue_at_front=True)
    _ended(run, outcome, time.monotonic() - started)
    failpoint(Point.RESULT_BEFORE)
    return outcome.model_dump_json()


def _outcome(job_id: str, work: Callable[[], JobOutcome]) -> JobOutcome:
    """What became of the work; all but what is not the job's own end: LeaveJob, StaleEpoch and VersionExists."""
    try:
        return work()
    except (LeaveJob, StaleEpoch, VersionExists):
        raise
    except JobCancelled as error:
        return JobOutcome(status=JobStatus.CANCELLED, error=problem_of(error))
    except EditError as error:
        return JobOutcome(status=JobStatus.FAILED, error=problem_of(error))
    except Exception as error:  # the job's edge: whatever went wrong, the queue goes on
        return JobOutcome(status=JobStatus.FAILED, error=problem_of(_unforeseen(job_id, error)))


def _parse(kind: type[RequestT], request_json: str) -> RequestT:
    try:
        return kind.model_validate_json(request_json)
    except ValidationError as error:
        place = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, place["loc"])) or None
        raise RequestError(f"the queued request is not valid: {place['msg']}", field=field) from None


def _unforeseen(job_id: str, error: Exception) -> EditError:
    """What the caller hears of an error that nobody raised on purpose; the log has the rest."""
    log.error("edit failed", exc_info=error, extra={"job_id": job_id})
    if isinstance(error, torch.OutOfMemoryError):
        return EditFailed("the worker's device ran out of memory: send fewer facts in one batch")
    return EditError("the edit failed for a reason that only the worker's own log tells")


def _ended(run: JobRun, outcome: JobOutcome, seconds: float) -> None:
    fields = {
        "job_id": run.job_id,
        "model": run.editor.name,
        "version": outcome.version,
        "method": outcome.report.method if outcome.report else None,
        "seconds": round(seconds, 3),
    }
    error = f": {outcome.error.code}" if outcome.error else ""
    log.info("job %s%s", outcome.status, error, extra=fields)
    run.on_end(outcome, seconds)

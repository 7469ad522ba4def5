"""What the queue may run, by name: the host carries a request out, and its outcome is handed back.

The edit log decides what happened; the outcome is how the queue hears of it. A job that is delivered again after
it committed finds its version in the log, so the outcome that an outage swallowed comes with the next delivery.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Protocol

import torch
from pydantic import ValidationError
from rq import Retry

from app.domain import queued_calls
from app.domain.contract import REQUESTS, AnyJobRequest, JobKind, JobOutcome, JobStatus, Progress
from app.domain.errors import JobCancelled, JobFailed, PalimpsestError, RequestError, StaleEpoch, VersionExists
from app.domain.failpoints import Point, failpoint
from app.domain.problems import problem_of
from app.domain.tracing import Tracing
from workers.host.model_host import ModelHost
from workers.host.turn import Turn
from workers.host.work import carry_out
from workers.queue.watch import LeaveJob

logger = logging.getLogger(__name__)

MOST_HANDOVERS = 100
"""How often a job may be left to the next worker before it is given up."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """One delivery of a job, and who watches over its steps.

    version: the one in service when its turn came.
    report: hears of each step. may_go_on: asked before each; raises to end the job.
    on_end: hears what became of it, and after how many seconds.
    lead_lost: hears that another leader has taken over this worker's log.
    confirm_lead: raises StaleEpoch if one has; asked before a job's end is made known.
    traces: have a span of the job.
    """

    job_id: str
    host: ModelHost
    version: int
    report: Callable[[Progress], None]
    may_go_on: Callable[[], None]
    on_end: Callable[[JobKind, JobOutcome, float], None]
    lead_lost: Callable[[PalimpsestError], None]
    confirm_lead: Callable[[], None]
    traces: Tracing = field(default_factory=Tracing)

    def tell(self, progress: Progress) -> None:
        """Make a step known."""
        self.report(progress)

    def check(self) -> None:
        """Return if the job may go on."""
        self.may_go_on()


class JobFunction(Protocol):
    """What the queue may run."""

    def __call__(
        self, run: JobRun, request_json: str, *, expected_version: int | None = None, by: str | None = None
    ) -> str | Retry:
        """Do the job and return its outcome (JSON), or put it back."""


def run_job(
    kind: JobKind, run: JobRun, request_json: str, *, expected_version: int | None = None, by: str | None = None
) -> str | Retry:
    """Do a job, handed in ``by`` the owner of that key, and return its ``JobOutcome`` (JSON).

    Or a ``Retry`` that puts the job back to the front of its queue, where it was not this job's fault: the
    worker is leaving, or it has lost the lead.
    """
    started = time.monotonic()

    def work() -> JobOutcome:
        request = _parse(kind, request_json)
        return carry_out(run.host, Turn(run.job_id, request, run.version, expected_version, by), run)

    try:
        with run.traces.job(kind, run.job_id, run.host.name):
            outcome = _outcome(kind, run.job_id, work)
        run.confirm_lead()
    except LeaveJob:
        logger.info("job left to the next worker", extra={"job_id": run.job_id})
        return Retry(max=MOST_HANDOVERS, enqueue_at_front=True)
    except (StaleEpoch, VersionExists) as error:
        logger.error("lead lost: %s", error, extra={"job_id": run.job_id})  # noqa: TRY400 - the sentence says all
        run.lead_lost(error)
        return Retry(max=MOST_HANDOVERS, enqueue_at_front=True)
    _ended(kind, run, outcome, time.monotonic() - started)
    failpoint(Point.RESULT_BEFORE)
    return outcome.model_dump_json()


FUNCTIONS: Mapping[str, JobFunction] = MappingProxyType(
    {name: partial(run_job, kind) for kind, name in queued_calls.FUNCTIONS.items()}
)
"""By the names that the front end queues. Each takes its request as JSON."""


def _outcome(kind: JobKind, job_id: str, work: Callable[[], JobOutcome]) -> JobOutcome:
    """The work's outcome, errors included. LeaveJob, StaleEpoch and VersionExists pass: they do not end the job."""
    try:
        return work()
    except (LeaveJob, StaleEpoch, VersionExists):
        raise
    except JobCancelled as error:
        return JobOutcome(status=JobStatus.CANCELLED, error=problem_of(error))
    except PalimpsestError as error:
        return JobOutcome(status=JobStatus.FAILED, error=problem_of(error))
    except Exception as error:  # the job's edge: whatever went wrong, the queue goes on
        return JobOutcome(status=JobStatus.FAILED, error=problem_of(_unforeseen(kind, job_id, error)))


def _parse(kind: JobKind, request_json: str) -> AnyJobRequest:
    try:
        return REQUESTS[kind].model_validate_json(request_json)
    except ValidationError as error:
        place = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, place["loc"])) or None
        raise RequestError(f"the queued request is not valid: {place['msg']}", field=field) from None


def _unforeseen(kind: JobKind, job_id: str, error: Exception) -> PalimpsestError:
    """What the caller hears of an error that nobody raised on purpose; the log has the rest."""
    logger.error("%s failed", kind, exc_info=error, extra={"job_id": job_id})
    if isinstance(error, torch.OutOfMemoryError):
        advice = ": send fewer facts in one batch" if kind is JobKind.EDIT else ""
        return JobFailed(f"the worker's device ran out of memory{advice}")
    return PalimpsestError(f"the {kind} failed for a reason that only the worker's own log tells")


def _ended(kind: JobKind, run: JobRun, outcome: JobOutcome, seconds: float) -> None:
    fields = {
        "job_id": run.job_id,
        "model": run.host.name,
        "version": outcome.version,
        "method": outcome.report.method if outcome.report else None,
        "seconds": round(seconds, 3),
    }
    error = f": {outcome.error.code}" if outcome.error else ""
    logger.info("%s %s%s", kind, outcome.status, error, extra=fields)
    run.on_end(kind, outcome, seconds)

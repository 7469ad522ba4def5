"""A queued job in the front end's words: what RQ's records and the outcome that the worker returned tell of it.

If the edit log has a version of the job, the log decides what became of it, and not this.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rq.job import Job as RQJob
from rq.job import JobStatus as RQStatus

from app.domain import keyspace
from app.domain.contract import JobKind, JobOutcome, JobStatus
from app.domain.errors import DeadlineExceeded, JobCancelled, JobFailed, PalimpsestError
from app.domain.problems import problem_of
from app.domain.queued_calls import BY, KINDS

FAILED = (RQStatus.FAILED, RQStatus.FINISHED)
"""FINISHED too: without an outcome a job counts as failed, unless the edit log has its version."""
CANCELLED = (RQStatus.CANCELED, RQStatus.STOPPED)
FACTS = "facts"
"""In a job's metadata: how many facts it names."""


class Standing(StrEnum):
    """How far the queue has come with a job."""

    WAITS = "waits"
    RUNS = "runs"
    ENDED = "ended"

    @classmethod
    def of(cls, status: RQStatus) -> Standing:
        """The standing that a status of RQ's means."""
        if status in FAILED + CANCELLED:
            return cls.ENDED
        return cls.RUNS if status is RQStatus.STARTED else cls.WAITS


@dataclass(frozen=True, slots=True)
class Queued:
    """A job that the queue knows.

    kind: None if the queued function is of no kind that this release knows.
    outcome: what the worker returned; else what follows from RQ's status.
    """

    id: str
    model: str
    kind: JobKind | None
    by: str | None
    facts: int
    submitted: datetime | None
    started: datetime | None
    ended: datetime | None
    outcome: JobOutcome

    @classmethod
    def of(cls, job: RQJob) -> Queued:
        """What RQ has of a job."""
        kind = KINDS.get(job.func_name or "")
        return cls(
            id=job.id,
            model=job.origin.removeprefix(keyspace.queue("")),
            kind=kind,
            by=job.kwargs.get(BY),
            facts=job.meta.get(FACTS, 0),
            submitted=job.created_at,
            started=job.started_at,
            ended=job.ended_at,
            outcome=_believed(job, kind),
        )


def _believed(job: RQJob, kind: JobKind | None) -> JobOutcome:
    status = job.get_status(refresh=False)
    returned = job.return_value() if status is RQStatus.FINISHED else None
    if returned is not None:
        return JobOutcome.model_validate_json(returned)
    if status in FAILED:
        return JobOutcome(status=JobStatus.FAILED, error=problem_of(_failure(job, kind or "job")))
    if status in CANCELLED:
        cancelled = JobCancelled("The job was cancelled before it began; nothing was changed.")
        return JobOutcome(status=JobStatus.CANCELLED, error=problem_of(cancelled))
    return JobOutcome(status=JobStatus.RUNNING if status is RQStatus.STARTED else JobStatus.QUEUED)


def _failure(job: RQJob, noun: str) -> PalimpsestError:
    """Why RQ gave a job up. Only the type of the error is told: its text and traceback stay with the worker."""
    result = job.latest_result()
    last_line = ((result.exc_string if result else None) or "").strip().rpartition("\n")[2]
    if "AbandonedJobError" in last_line:
        return JobFailed("The worker died in this job again and again; nothing was changed.")
    if "JobTimeoutException" in last_line:
        return DeadlineExceeded(f"The {noun} took longer than a job may; nothing was changed.")
    kind = last_line.partition(":")[0].rpartition(".")[2] or "no outcome"
    return JobFailed(f"The job ended in an error in the worker ({kind}); nothing was changed.")

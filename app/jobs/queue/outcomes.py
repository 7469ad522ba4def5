"""How a job stands by what RQ and the worker's returned outcome tell. The edit log knows better, where it knows."""

from __future__ import annotations

from rq.job import Job as QueuedJob
from rq.job import JobStatus as QueueStatus

from app.domain.contract import JobOutcome, JobStatus
from app.domain.errors import DeadlineExceeded, EditError, EditFailed, JobCancelled
from app.domain.problems import problem_of

FAILED = (QueueStatus.FAILED, QueueStatus.FINISHED)
"""Finished too, where neither an outcome nor a version of the job is left."""
CANCELLED = (QueueStatus.CANCELED, QueueStatus.STOPPED)
ENDED = (*FAILED, *CANCELLED)


def believed(queued: QueuedJob) -> JobOutcome:
    """What the worker returned, else what the queue believes."""
    status = queued.get_status(refresh=False)
    returned = queued.return_value() if status is QueueStatus.FINISHED else None
    if returned is not None:
        return JobOutcome.model_validate_json(returned)
    if status in FAILED:
        return JobOutcome(status=JobStatus.FAILED, error=problem_of(_failure(queued)))
    if status in CANCELLED:
        cancelled = JobCancelled("The job was cancelled before it began; nothing was changed.")
        return JobOutcome(status=JobStatus.CANCELLED, error=problem_of(cancelled))
    return JobOutcome(status=JobStatus.RUNNING if status is QueueStatus.STARTED else JobStatus.QUEUED)


def _failure(queued: QueuedJob) -> EditError:
    """Why RQ gave a job up. Only the kind of error is told: its text and traceback are the worker's own."""
    result = queued.latest_result()
    last_line = ((result.exc_string if result else None) or "").strip().rpartition("\n")[2]
    if "AbandonedJobError" in last_line:
        return EditFailed("The worker died in this job again and again; nothing was changed.")
    if "JobTimeoutException" in last_line:
        return DeadlineExceeded("The edit took longer than a job may; nothing was changed.")
    kind = last_line.partition(":")[0].rpartition(".")[2] or "no outcome"
    return EditFailed(f"The job ended in an error in the worker ({kind}); nothing was changed.")

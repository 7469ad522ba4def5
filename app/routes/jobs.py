"""Jobs: their status and outcome, and how to cancel one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response, status

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import JobsDep
from app.domain.contract import Job, JobId, JobList, JobStatus, Name
from app.domain.errors import Conflict, UnknownJob
from app.error_handlers import problems

router = APIRouter(tags=["jobs"])


@router.get("/jobs/{job}", dependencies=[requires(Scope.QUERY)], responses=problems(UnknownJob))
def show_job(job: JobId, jobs: JobsDep) -> Job:
    """One job: its status, place in the queue, progress; at its end the version and report, or the error."""
    return jobs.view(job)


@router.post(
    "/jobs/{job}/cancel",
    status_code=status.HTTP_202_ACCEPTED,
    dependencies=[requires(Scope.EDIT)],
    responses={
        status.HTTP_200_OK: {"model": Job, "description": "The job is cancelled."},
        status.HTTP_202_ACCEPTED: {"description": "The job may have begun, and stops at its next step; follow it."},
        **problems(Conflict, UnknownJob),
    },
)
def cancel_job(job: JobId, jobs: JobsDep, response: Response) -> Job:
    """Cancel a job: one that waits at once, one that runs at its next step. Nothing of it stays.

    One that was queued before Redis was restarted or flushed is cancelled when its turn comes: a worker may be at it.
    A job that has come to its commit can no longer be stopped; it succeeds.
    """
    cancelled = jobs.cancel(job)
    if cancelled.status.final:
        response.status_code = status.HTTP_200_OK
    return cancelled


@router.get("/jobs", dependencies=[requires(Scope.QUERY)], responses=problems(UnknownJob))
def list_jobs(
    jobs: JobsDep,
    model: Name | None = None,
    status: JobStatus | None = None,
    after: Annotated[JobId | None, Query(description="List what comes after this job, the last of a list.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JobList:
    """The latest jobs, newest first, without their reports."""
    return jobs.recent(model, status, limit, after)

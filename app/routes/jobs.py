"""What became of the edits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.dependencies import JobsDep
from app.domain.contract import Job, JobId, JobList, JobStatus, Name
from app.domain.errors import UnknownJob
from app.error_handlers import problems

router = APIRouter(tags=["jobs"])


@router.get("/jobs/{job}", responses=problems(UnknownJob))
def show_job(job: JobId, jobs: JobsDep) -> Job:
    """One job: its status, place in the queue, progress; at its end the version and report, or the error."""
    return jobs.view(job)


@router.get("/jobs", responses=problems())
def list_jobs(
    jobs: JobsDep,
    model: Name | None = None,
    status: JobStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JobList:
    """The latest jobs, newest first, without their reports."""
    return jobs.recent(model, status, limit)

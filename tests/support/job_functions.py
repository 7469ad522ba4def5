"""What RQ's worker runs in these tests, by name, in the place of an edit."""

from __future__ import annotations

import time

from rq import get_current_job

from app.domain import keyspace
from app.edit_logs import EditLogs
from app.jobs.jobs import Jobs
from app.settings import Settings


def hand_back(outcome: str) -> str:
    """End as a worker's job does."""
    return outcome


def fail(message: str) -> None:
    """End as no worker's job should."""
    raise RuntimeError(message)


def sleep(seconds: float) -> None:
    """Take this long."""
    time.sleep(seconds)


def look(settings: str, progress: str) -> None:
    """Report progress twice, then note how the job itself is seen meanwhile."""
    job = get_current_job()
    assert job is not None
    for entry in ('{"stage": "targets", "step": 1}', progress):
        job.connection.xadd(keyspace.progress(job.id), {"json": entry})
    known = Settings.model_validate_json(settings)
    seen = Jobs(job.connection, EditLogs(known.log_dir), known).view(job.id)
    job.connection.set(f"seen:{job.id}", seen.model_dump_json())

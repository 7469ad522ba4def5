"""What is told of a job, put together from the edit log, the queue and the journal.

Where they disagree, the log decides. Whoever is told that a job has ended can rely on it: its end is noted first, and
it is never queued again.
"""

from __future__ import annotations

import logging
from datetime import datetime

from rq.job import Job as QueuedJob

from app.domain.contract import Job, JobOutcome, JobStatus
from app.edit_logs import EditLogs
from app.jobs.journal import AcceptedJob, AcceptedJournal
from app.jobs.queue.job_queue import JobQueue, model_of
from app.jobs.queue.outcomes import believed

logger = logging.getLogger(__name__)


class JobViews:
    """Jobs as callers see them."""

    def __init__(self, queue: JobQueue, journal: AcceptedJournal, logs: EditLogs) -> None:
        self._queue = queue
        self._journal = journal
        self._logs = logs

    def queued(self, queued: QueuedJob) -> Job:
        """A job that the queue knows."""
        outcome, ended = self._outcome(queued)
        waits, runs = outcome.status is JobStatus.QUEUED, outcome.status is JobStatus.RUNNING
        job = Job(
            id=queued.id,
            model=model_of(queued),
            position=self._queue.position(queued) if waits else None,
            facts=queued.meta.get("facts", 0),
            submitted=queued.created_at,
            started=None if waits else queued.started_at,
            ended=ended if outcome.status.final else None,
            progress=self._queue.progress(queued.id) if runs else None,
            **dict(outcome),
        )
        return self._noted(job) if job.status.final else job

    def committed(self, job_id: str) -> Job | None:
        """A job of which nothing is left but the version that it made, if it made one."""
        if (found := self._logs.find_job(job_id)) is None:
            return None
        model, manifest = found
        told, facts = dict(manifest.outcome), len(manifest.facts or manifest.reverted)
        return self._noted(Job(id=job_id, model=model, facts=facts, ended=manifest.created, **told))

    def accepted(self, edit: AcceptedJob, position: int | None = None) -> Job:
        """A job that has just been accepted, or of which no more is left than that."""
        return Job(
            id=edit.job,
            model=edit.model,
            status=JobStatus.QUEUED,
            position=position,
            facts=edit.facts,
            submitted=edit.accepted,
        )

    def _outcome(self, queued: QueuedJob) -> tuple[JobOutcome, datetime | None]:
        """What the log says, else what the queue says; and since when."""
        outcome = believed(queued)
        if outcome.version is None and (manifest := self._logs.of(model_of(queued)).find_job(queued.id)):
            return manifest.outcome, manifest.created
        return outcome, queued.ended_at

    def _noted(self, job: Job) -> Job:
        try:
            self._journal.end(job)
        except OSError as error:
            logger.error("its end could not be written down: %s", error, extra={"job_id": job.id})  # noqa: TRY400
        return job

"""Jobs as callers see them, put together from the edit log, the queue and the journal.

Where these disagree, the log decides. A job's end is noted in the journal before a caller is told of it, so that the
job is not queued again; if the disk refuses the note, an error is logged.
"""

from __future__ import annotations

import logging
from datetime import datetime

from app.domain.contract import Job, JobKind, JobOutcome, JobStatus
from app.edit_logs import EditLogs
from app.jobs.journal import AcceptedJob, AcceptedJournal
from app.jobs.queue.job_queue import JobQueue
from app.jobs.queue.queued import Queued

logger = logging.getLogger(__name__)


class JobViews:
    """Makes a ``Job`` of what each of the three knows, and notes ends."""

    def __init__(self, queue: JobQueue, journal: AcceptedJournal, logs: EditLogs) -> None:
        self._queue = queue
        self._journal = journal
        self._logs = logs

    def queued(self, queued: Queued) -> Job:
        """A job that the queue knows."""
        outcome, ended = self._outcome(queued)
        waits, runs = outcome.status is JobStatus.QUEUED, outcome.status is JobStatus.RUNNING
        job = Job(
            id=queued.id,
            kind=queued.kind,
            model=queued.model,
            position=self._queue.position(queued.model, queued.id) if waits else None,
            by=queued.by,
            facts=queued.facts,
            submitted=queued.submitted,
            started=None if waits else queued.started,
            ended=ended if outcome.status.final else None,
            progress=self._queue.progress(queued.id) if runs else None,
            **dict(outcome),
        )
        return self._noted(job) if job.status.final else job

    def committed(self, job_id: str) -> Job | None:
        """A job as the version or the proposal that it made tells of it; None if it made none."""
        if (found := self._logs.find_job(job_id)) is None:
            return self._proposed(job_id)
        model, manifest = found
        told, facts = dict(manifest.outcome), len(manifest.facts or manifest.reverted)
        kind = JobKind(manifest.kind) if manifest.proposal is None else JobKind.PUBLISH
        known = {"kind": kind, "by": manifest.approved_by or manifest.by, "facts": facts, "ended": manifest.created}
        return self._noted(Job(id=job_id, model=model, **known, **told))

    def accepted(self, accepted: AcceptedJob, position: int | None = None) -> Job:
        """A job that has just been accepted, or that only the journal knows."""
        return Job(
            id=accepted.job,
            kind=accepted.change.kind,
            model=accepted.model,
            status=JobStatus.QUEUED,
            position=position,
            by=accepted.by,
            facts=accepted.facts,
            submitted=accepted.accepted,
        )

    def _proposed(self, job_id: str) -> Job | None:
        if (found := self._logs.find_proposal(job_id)) is None:
            return None
        model, page = found
        told, facts = dict(page.outcome), len(page.batch.facts)
        return self._noted(Job(id=job_id, kind=JobKind.EDIT, model=model, facts=facts, ended=page.created, **told))

    def _outcome(self, queued: Queued) -> tuple[JobOutcome, datetime | None]:
        """What the log says, else what the queue says; and when the job ended."""
        if queued.outcome.version is None and (manifest := self._logs.of(queued.model).find_job(queued.id)):
            return manifest.outcome, manifest.created
        if queued.outcome.proposal is None and (page := self._logs.of(queued.model).proposals.of_job(queued.id)):
            return page.outcome, page.created
        return queued.outcome, queued.ended

    def _noted(self, job: Job) -> Job:
        try:
            self._journal.end(job)
        except OSError as error:
            logger.error("its end could not be written down: %s", error, extra={"job_id": job.id})  # noqa: TRY400
        return job

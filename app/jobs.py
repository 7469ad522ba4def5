"""Edit jobs: queued here, run by the workers. The only file of the front end that knows RQ.

RQ is the queue that delivers; the edit log is what happened. Where the two disagree, the log decides.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from operator import itemgetter
from secrets import token_hex
from typing import cast

from redis import Redis
from rq import Queue, Retry
from rq.exceptions import NoSuchJobError
from rq.job import Job as QueuedJob
from rq.job import JobStatus as QueueStatus
from rq.serializers import JSONSerializer
from rq.utils import as_text

from app.domain import keyspace
from app.domain.contract import EditBatch, Job, JobList, JobOutcome, JobStatus, Progress
from app.domain.edit_log import Manifest
from app.domain.errors import Conflict, DeadlineExceeded, EditError, EditFailed, Unavailable, UnknownJob
from app.domain.problems import problem_of
from app.edit_logs import EditLogs
from app.settings import Settings

logger = logging.getLogger(__name__)

APPLY_EDITS = "workers.jobs.apply_edits"
"""The workers' entry point, by name: the front end never imports it."""
LISTED_FROM = 2000
"""A list of jobs is drawn from this many of the latest."""

_FAILED = (QueueStatus.FAILED, QueueStatus.FINISHED)
"""Finished too, where neither an outcome nor a version of the job is left."""
_STATUS = {
    QueueStatus.STARTED: JobStatus.RUNNING,
    QueueStatus.CANCELED: JobStatus.CANCELLED,
    QueueStatus.STOPPED: JobStatus.CANCELLED,
    **dict.fromkeys(_FAILED, JobStatus.FAILED),
}


class Jobs:
    """Submits edit batches, one queue per model, and tells what became of them."""

    def __init__(self, redis: Redis, logs: EditLogs, settings: Settings) -> None:
        self._redis = redis
        self._logs = logs
        self._settings = settings

    def submit(self, model: str, batch: EditBatch) -> Job:
        """Queue a checked batch for a model; batches are applied in the order of submission.

        Raises:
            Unavailable: the model's queue is full.
        """
        queue = self._queue(model)
        if queue.count >= self._settings.max_queued:
            raise Unavailable(f"The queue of {model} is full.", field="model", value=model)
        job_id, now, known = token_hex(8), time.time(), keyspace.jobs(model)
        with self._redis.pipeline(transaction=True) as transaction:
            queued = queue.enqueue_call(
                APPLY_EDITS,
                args=(batch.model_dump_json(),),
                job_id=job_id,
                timeout=self._settings.job_timeout_s,
                result_ttl=self._settings.result_ttl_s,
                failure_ttl=self._settings.result_ttl_s,
                description=f"edit of {len(batch.facts)} facts",
                meta={"facts": len(batch.facts)},
                retry=Retry(max=self._settings.job_retries, enqueue_at_front=True),
                pipeline=transaction,
            )
            transaction.zremrangebyscore(known, "-inf", now - self._settings.result_ttl_s)
            transaction.zadd(known, {job_id: now})
            transaction.llen(queue.key)
            waiting = transaction.execute()[-1]
        logger.info("queued", extra={"job_id": job_id, "model": model, "facts": len(batch.facts)})
        return Job(
            id=job_id,
            model=model,
            status=JobStatus.QUEUED,
            position=max(0, waiting - 1),
            facts=len(batch.facts),
            submitted=queued.created_at,
        )

    def view(self, job_id: str) -> Job:
        """What is known of a job.

        Raises:
            UnknownJob: neither the queue nor any model's edit log knows it.
        """
        try:
            queued = QueuedJob.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
        except NoSuchJobError:
            return self._from_logs(job_id)
        if not queued.origin.startswith(keyspace.queue("")):
            return self._from_logs(job_id)
        return self._view(queued)

    def recent(self, model: str | None, status: JobStatus | None, limit: int) -> JobList:
        """The latest jobs, newest first, without their reports; of one model or all, in one state or any."""
        views = (self._view(job).model_copy(update={"report": None}) for job in self._latest(model))
        return JobList(jobs=tuple(islice((job for job in views if status in (None, job.status)), limit)))

    def committed(self, job_id: str) -> tuple[str, Manifest]:
        """The model that a job edited and the version that it made.

        Raises:
            UnknownJob: there is no such job.
            Conflict: it has not committed, or never will.
        """
        job = self.view(job_id)
        if job.version is None:
            detail = f"Job {job_id} is {job.status}: it has written no facts that could be asked for."
            raise Conflict(detail, field="job", value=job_id)
        return job.model, self._logs.of(job.model).manifest(job.version)

    def _view(self, queued: QueuedJob) -> Job:
        model = queued.origin.removeprefix(keyspace.queue(""))
        outcome, ended = self._outcome(model, queued)
        waits, runs = outcome.status is JobStatus.QUEUED, outcome.status is JobStatus.RUNNING
        return Job(
            id=queued.id,
            model=model,
            position=self._redis.lpos(self._queue(model).key, queued.id) if waits else None,
            facts=queued.meta.get("facts", 0),
            submitted=queued.created_at,
            started=None if waits else queued.started_at,
            ended=ended if outcome.status.final else None,
            progress=self._progress(queued.id) if runs else None,
            **dict(outcome),
        )

    def _outcome(self, model: str, queued: QueuedJob) -> tuple[JobOutcome, datetime | None]:
        """What the log says, else what the worker returned, else what the queue believes; and since when."""
        status = queued.get_status(refresh=False)
        returned = queued.return_value() if status is QueueStatus.FINISHED else None
        outcome = None if returned is None else JobOutcome.model_validate_json(returned)
        if outcome is not None and outcome.version is not None:
            return outcome, queued.ended_at
        if manifest := self._logs.of(model).find_job(queued.id):
            return _committed(manifest), manifest.created
        if outcome is None:
            error = problem_of(_failure(queued)) if status in _FAILED else None
            outcome = JobOutcome(status=_STATUS.get(status, JobStatus.QUEUED), error=error)
        return outcome, queued.ended_at

    def _from_logs(self, job_id: str) -> Job:
        found = self._logs.find_job(job_id)
        if found is None:
            raise UnknownJob(f"No job {job_id} is known here.", field="job", value=job_id)
        model, manifest = found
        told = dict(_committed(manifest))
        return Job(id=job_id, model=model, facts=len(manifest.facts), ended=manifest.created, **told)

    def _latest(self, model: str | None) -> Iterator[QueuedJob]:
        per_model = (self._submitted(each) for each in ([model] if model else self._models()))
        newest_first = heapq.merge(*per_model, key=itemgetter(1), reverse=True)
        for job_id, _ in islice(newest_first, LISTED_FROM):
            [queued] = QueuedJob.fetch_many([as_text(job_id)], self._redis, JSONSerializer)
            if queued is not None:
                yield queued

    def _submitted(self, model: str) -> list[tuple[bytes, float]]:
        """Ids of the model's latest jobs and when they were submitted (Unix seconds), newest first."""
        found = self._redis.zrevrange(keyspace.jobs(model), 0, LISTED_FROM - 1, withscores=True)
        return cast("list[tuple[bytes, float]]", found)

    def _models(self) -> list[str]:
        names = (queue.name for queue in Queue.all(self._redis, serializer=JSONSerializer))
        prefix = keyspace.queue("")
        return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]

    def _progress(self, job_id: str) -> Progress | None:
        latest = self._redis.xrevrange(keyspace.progress(job_id), count=1)
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", latest)
        return Progress.model_validate_json(entries[0][1][b"json"]) if entries else None

    def _queue(self, model: str) -> Queue:
        return Queue(keyspace.queue(model), connection=self._redis, serializer=JSONSerializer)


def _committed(manifest: Manifest) -> JobOutcome:
    return JobOutcome(status=JobStatus.SUCCEEDED, version=manifest.version, report=manifest.report)


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

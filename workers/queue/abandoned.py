"""Jobs that a worker took and never ended: back to the front of the queue, in their order.

Only the model's leader takes jobs from the model's queue. So while a leader's main thread is idle, every job that the
queue lists as taken, and that does not run aside, was taken by a leader that died, was cut off from Redis, or could not
record the job's end. The log tells which of these jobs are done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.utils import as_text
from rq.worker import BaseWorker

logger = logging.getLogger(__name__)

DELIVERIES_AFTER_DEATHS = 3
"""How often a job is put back after its worker died in it, where its queue entry does not say."""


def requeue_abandoned(worker: BaseWorker, queue: Queue, runs: Callable[[str], bool]) -> list[str]:
    """Put back what nobody runs any more; return the job ids, first to run first.

    Args:
        runs: whether this worker runs a job aside; such a job stays.

    A job that was running uses up one retry, and fails when it has none left: it may be the cause of the deaths.
    """
    registry = queue.started_job_registry
    started: dict[str, list[str]] = {}
    for job_id, execution_id in registry.get_job_and_execution_ids(cleanup=False):
        started.setdefault(job_id, []).append(execution_id)
    taken = cast("list[bytes]", queue.connection.lrange(queue.intermediate_queue_key, 0, -1))
    # The intermediate list is in the order of taking, and its jobs were taken after those that were started.
    waiting = [job_id for job_id in map(as_text, taken) if job_id not in started]
    last_first = reversed([job_id for job_id in (*started, *waiting) if not runs(job_id)])
    put_back = [job_id for job_id in last_first if _put_back(worker, queue, job_id, started.get(job_id, []))]
    return put_back[::-1]


def _put_back(worker: BaseWorker, queue: Queue, job_id: str, execution_ids: list[str]) -> bool:
    job = queue.fetch_job(job_id)
    open_ended = job is not None and job.get_status() in (JobStatus.STARTED, JobStatus.QUEUED)
    again = open_ended and _may_run_again(job, counted=bool(execution_ids)) if job else False
    with queue.connection.pipeline() as pipeline:
        for execution_id in execution_ids:
            execution = Execution(execution_id, job_id, queue.connection)
            pipeline.zrem(queue.started_job_registry.key, execution.composite_key)
            pipeline.delete(execution.key)
        pipeline.lrem(queue.intermediate_queue_key, 0, job_id)
        if job is not None and again:
            pipeline.lrem(queue.key, 0, job_id)
            job.set_status(JobStatus.QUEUED, pipeline=pipeline)
            if job.retries_left is not None:
                pipeline.hset(job.key, "retries_left", str(job.retries_left))
            queue.push_job_id(job_id, pipeline=pipeline, at_front=True)
        pipeline.execute()
    if job is not None and open_ended and not again:
        logger.error("job given up: its worker died in it each time", extra={"job_id": job_id})
        worker.handle_job_failure(job, queue, exc_string="AbandonedJobError: the worker died in this job")
    elif again:
        logger.warning("job put back: its worker did not end it", extra={"job_id": job_id})
    return again


def _may_run_again(job: Job, *, counted: bool) -> bool:
    """Whether the job has a delivery left; uses one up where ``counted``."""
    if not counted:
        return True
    left = DELIVERIES_AFTER_DEATHS if job.retries_left is None else job.retries_left
    if left <= 0:
        return False
    job.retries_left = left - 1
    return True

"""RQ's in-process worker, made fit for a model that stays in memory and for jobs that take long.

What differs from RQ's besides what ``QuietWorker`` leaves out: heartbeats from a thread while a job runs; only our
functions, which are never looked up by import; a job stops between steps or not at all; only a leader touches a job;
abandoned jobs come back at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.utils import now
from rq.worker import WorkerStatus
from rq.worker_registration import clean_worker_registry

from app.domain import request_id
from app.domain.errors import PalimpsestError
from app.domain.failpoints import Point, failpoint
from app.domain.queued_calls import REQUEST_ID
from workers.lead.leadership import Leadership
from workers.queue.abandoned import requeue_abandoned
from workers.queue.aside import Aside
from workers.queue.heartbeats import heartbeats
from workers.queue.jobs import JobRun
from workers.queue.lead_guard import LeadGuard
from workers.queue.leaders_queue import leaders_queue
from workers.queue.listed_job import ListedJob
from workers.queue.quiet_worker import QuietWorker
from workers.stopping import Stopping

logger = logging.getLogger(__name__)

HEARTBEAT_TTL_S = 90
ENDED = (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.STOPPED)


class ModelWorker(QuietWorker):
    """Takes the jobs of one model, one after another, on the main thread; some it hands to a thread beside it."""

    job_class = ListedJob

    def __init__(
        self,
        queue: str,
        name: str,
        redis: Redis,
        make_run: Callable[[str], JobRun],
        stopping: Stopping,
        leadership: Leadership,
        aside: Aside,
    ) -> None:
        """What it needs besides RQ's own.

        Args:
            make_run: the delivery of a job by its id.
            stopping: says when to take no further job.
            leadership: without it no job is taken, nor its end recorded.
            aside: does the jobs that need not hold the others up.
        """
        self._make_run, self._stopping, self._lead, self._aside = make_run, stopping, LeadGuard(leadership), aside
        super().__init__(queue, name, redis, leaders_queue(leadership, lambda: self.stopping))

    # --- stopping ----------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether this worker was told to stop, or must."""
        return self._stopping.told or self.lead_lost is not None

    @property
    def lead_lost(self) -> PalimpsestError | None:
        """How this worker lost the lead, if it did."""
        return self._lead.lost

    # --- one job -----------------------------------------------------------------------------

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Seconds after which a silent worker counts as dead, however long its job may take."""
        return HEARTBEAT_TTL_S

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run the job, here or aside, unless it has ended or runs aside already.

        A job that was running when Redis lost its data is queued again by the front end, and may have come to its
        end since.

        Raises:
            StopRequested: the worker was told to stop before it began. Or Redis was away when the job's start or end
                was to be recorded. This ends the turn; the next one finds the job abandoned, and the edit log tells
                what became of it.
        """
        if self._stopping.told:
            raise StopRequested
        try:
            if self._aside.has(job.id) or job.get_status(refresh=False) in ENDED:
                self.connection.lrem(queue.intermediate_queue_key, 0, job.id)
                logger.info("job runs or had ended already", extra={"job_id": job.id})
                return
            failpoint(Point.QUEUE_POPPED)
            self._lead.ask()
            run = partial(self._run, job, queue, self.prepare_execution(job))
            if isinstance(job, ListedJob) and job.bound_to(self._make_run(job.id)).aside:
                self._aside.put(job.id, run)
            else:
                run()
            self.set_state(WorkerStatus.IDLE)
        except RedisError as error:
            logger.warning("start or end not recorded: %s", error, extra={"job_id": job.id})
            raise StopRequested from error

    def _run(self, job: Job, queue: Queue, execution: Execution) -> None:
        """Run the job to its end, with heartbeats from a thread."""
        known = job.meta.get(REQUEST_ID)
        beat = partial(self.maintain_heartbeats, job, execution)
        with request_id.during(known if isinstance(known, str) else None), heartbeats(beat, job.id):
            self.perform_job(job, queue, execution)

    def handle_job_success(self, *args: Any, **more: Any) -> None:
        """Record the end, which is the leader's to do."""
        self._lead.check()
        super().handle_job_success(*args, **more)

    def handle_job_retry(self, *args: Any, **more: Any) -> None:
        """Put the job back, which is the leader's to do."""
        self._lead.check()
        super().handle_job_retry(*args, **more)

    def handle_job_failure(self, *args: Any, **more: Any) -> None:
        """Record the failure, which is the leader's to do."""
        self._lead.check()
        super().handle_job_failure(*args, **more)

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Log what a job raised; but an outage is not the job's failure.

        Raises:
            RedisError: Redis was away when the job's end was to be recorded; see ``execute_job``.
            StopRequested: the lead was lost by then.
        """
        error = exc_info[1]
        if isinstance(error, RedisError | StopRequested):
            raise error
        logger.error("job refused or broken: %s", type(error).__name__, extra={"job_id": job.id})

    # --- around the jobs ---------------------------------------------------------------------

    def clean_registries(self) -> None:
        """Before the first job and then while idle: bring back what was abandoned, forget what expired.

        Raises:
            StopRequested: another leads, and what it runs now is not abandoned.
        """
        self._lead.ask()
        for queue in self.queues:
            requeue_abandoned(self, queue, self._aside.has)
            queue.finished_job_registry.cleanup()
            queue.failed_job_registry.cleanup()
            clean_worker_registry(queue)
        self.last_cleaned_at = now()  # type: ignore[assignment]

"""RQ's in-process worker, made fit for a model that stays in memory and for jobs that take long.

What differs from ``SimpleWorker``: heartbeats from a thread while a job runs; only our functions, which are never
looked up by import; a job stops between steps or not at all; stops and cancel flags are polled, so neither signal
handlers nor pub/sub nor alarms are needed; abandoned jobs come back at once; only a leader touches a job; a Redis
outage ends the turn, not the process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import WorkerStatus
from rq.worker_registration import clean_worker_registry

from app.domain.errors import EditError
from app.domain.failpoints import Point, failpoint
from workers.lead.leadership import Leadership
from workers.queue.abandoned import requeue_abandoned
from workers.queue.heartbeats import heartbeats
from workers.queue.jobs import JobRun
from workers.queue.lead_guard import LeadGuard
from workers.queue.leaders_queue import leaders_queue
from workers.queue.listed_job import ListedJob, NoAlarm
from workers.stopping import Stopping

logger = logging.getLogger(__name__)

HEARTBEAT_TTL_S = 90
WORKER_TTL_S = 60
MAINTENANCE_INTERVAL_S = 60
RESULT_TTL_S = 30 * 24 * 3600
ENDED = (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.STOPPED)


class ModelWorker(SimpleWorker):
    """Takes the jobs of one model, one after another, on the main thread."""

    job_class = ListedJob
    death_penalty_class = NoAlarm
    log_result_lifespan = False
    connection_timeout = 5  # RQ's is made for reads that block, of which there are none

    def __init__(
        self,
        queue: str,
        name: str,
        redis: Redis,
        make_run: Callable[[str], JobRun],
        stopping: Stopping,
        leadership: Leadership,
    ) -> None:
        """What it needs besides RQ's own.

        Args:
            make_run: the delivery of a job by its id.
            stopping: says when to take no further job.
            leadership: without it no job is taken, nor its end recorded.
        """
        self._make_run, self._stopping, self._lead = make_run, stopping, LeadGuard(leadership)
        super().__init__(
            [queue],
            name=name,
            connection=redis,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL_S,
            maintenance_interval=MAINTENANCE_INTERVAL_S,
            default_result_ttl=RESULT_TTL_S,
            queue_class=leaders_queue(leadership, lambda: self.stopping),
            log_job_description=False,  # it holds the call's arguments, that is, the facts
        )

    # --- stopping ----------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether this worker was told to stop, or must."""
        return self._stopping.told or self.lead_lost is not None

    @property
    def lead_lost(self) -> EditError | None:
        """How this worker lost the lead, if it did."""
        return self._lead.lost

    @property
    def _stop_requested(self) -> bool:
        """What RQ looks at between two jobs, and while it is suspended."""
        return self.stopping

    @_stop_requested.setter
    def _stop_requested(self, _: bool) -> None:
        """RQ's own word for it counts for nothing."""

    def _install_signal_handlers(self) -> None:
        """None: signals are ``Stopping``'s."""

    # --- one job -----------------------------------------------------------------------------

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Seconds after which a silent worker counts as dead, however long its job may take."""
        return HEARTBEAT_TTL_S

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run the job in this process, with heartbeats from a thread; unless it has ended already.

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
            if job.get_status(refresh=False) in ENDED:
                self.connection.lrem(queue.intermediate_queue_key, 0, job.id)
                logger.info("job had ended already", extra={"job_id": job.id})
                return
            failpoint(Point.QUEUE_POPPED)
            self._lead.ask()
            execution = self.prepare_execution(job)
            with heartbeats(partial(self.maintain_heartbeats, job, execution), job.id):
                self.perform_job(job, queue, execution)
            self.set_state(WorkerStatus.IDLE)
        except RedisError as error:
            logger.warning("start or end not recorded: %s", error, extra={"job_id": job.id})
            raise StopRequested from error

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """Bind the delivery to the job, and run it."""
        if isinstance(job, ListedJob):
            job.run = self._make_run(job.id)
        return super().perform_job(job, queue, execution)

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
            requeue_abandoned(self, queue)
            queue.finished_job_registry.cleanup()
            queue.failed_job_registry.cleanup()
            clean_worker_registry(queue)
        self.last_cleaned_at = now()  # type: ignore[assignment]

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Say that this worker lives. An outage ends the turn: RQ would wait for its end, and hear nothing meanwhile.

        Raises:
            StopRequested: Redis is away.
        """
        try:
            super().heartbeat(timeout, pipeline)
        except RedisError as error:
            logger.warning("no heartbeat: %s", error)
            raise StopRequested from error

    def subscribe(self) -> None:
        """No commands over pub/sub: they can be lost. Cancelling is a durable flag, stopping is a signal."""

    def teardown(self) -> None:
        """Register the death, if there is somebody to tell."""
        with suppress(RedisError):
            self.register_death()  # type: ignore[no-untyped-call]

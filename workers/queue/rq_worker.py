"""RQ's in-process worker, made fit for a model that stays in memory and for jobs that take long.

What differs from ``SimpleWorker``: heartbeats from a thread while a job runs; only our functions, which are never
looked up by import; a job stops between steps or not at all; signals and cancel flags are polled, so neither
pub/sub nor alarms are needed; abandoned jobs come back at once; a Redis outage ends the turn, not the process.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from redis import Redis
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
from workers.queue.jobs import JobRun
from workers.queue.leaders_queue import leaders_queue
from workers.queue.listed_job import ListedJob, NoAlarm

log = logging.getLogger(__name__)

HEARTBEAT_TTL_S = 90
HEARTBEAT_INTERVAL_S = 20.0
WORKER_TTL_S = 60
MAINTENANCE_INTERVAL_S = 60
RESULT_TTL_S = 30 * 24 * 3600
ENDED = (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.STOPPED)


class ModelWorker(SimpleWorker):
    """Takes the jobs of one model, one after another, on the main thread."""

    job_class = ListedJob
    death_penalty_class = NoAlarm
    log_result_lifespan = False
    max_connection_wait_time = 5.0

    def __init__(
        self,
        queue: str,
        name: str,
        redis: Redis,
        make_run: Callable[[str, ModelWorker], JobRun],
        stop_grace_s: float,
        leadership: Leadership | None = None,
    ) -> None:
        """What it needs besides RQ's own.

        Args:
            make_run: the delivery of a job by its id.
            stop_grace_s: how long a stop waits for a job.
            leadership: without it no job is taken, nor its end recorded; None: there is no other worker.
        """
        super().__init__(
            [queue],
            name=name,
            connection=redis,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL_S,
            maintenance_interval=MAINTENANCE_INTERVAL_S,
            default_result_ttl=RESULT_TTL_S,
            queue_class=Queue if leadership is None else leaders_queue(leadership, lambda: self.stopping),
            log_job_description=False,  # it holds the call's arguments, that is, the facts
        )
        self._make_run = make_run
        self._stop_grace_s = stop_grace_s
        self._leadership = leadership
        self._leave_at: float | None = None
        self._lead_lost: EditError | None = None

    # --- stopping ----------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether this worker was asked to stop, or must."""
        return self._leave_at is not None or self.lead_lost is not None

    def leaving(self) -> bool:
        """Whether the running job has had its grace."""
        return self._leave_at is not None and time.monotonic() >= self._leave_at

    @property
    def lead_lost(self) -> EditError | None:
        """How this worker lost the lead, if it did."""
        if self._lead_lost is None and self._leadership is not None:
            self._lead_lost = self._leadership.lost()
        return self._lead_lost

    def lose_lead(self, error: EditError) -> None:
        """Another leader has this log: take no further job."""
        self._lead_lost = error
        self._stop_requested = True

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """The first signal gives a running job its grace, the second none. An idle worker stops when it next looks.

        Nothing is raised: whatever the signal falls into, the writing of a log line for instance, might swallow it.
        """
        grace = self._stop_grace_s if self._leave_at is None else 0.0
        self._leave_at = time.monotonic() + grace
        self._stop_requested = True

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
        if self._leave_at is not None:
            raise StopRequested
        try:
            if job.get_status(refresh=False) in ENDED:
                self.connection.lrem(queue.intermediate_queue_key, 0, job.id)
                log.info("job had ended already", extra={"job_id": job.id})
                return
            failpoint(Point.QUEUE_POPPED)
            self._refuse_without_lead(ask=True)
            execution = self.prepare_execution(job)
            with self._heartbeats(job, execution):
                self.perform_job(job, queue, execution)
            self.set_state(WorkerStatus.IDLE)
        except RedisError as error:
            log.warning("start or end not recorded: %s", error, extra={"job_id": job.id})
            raise StopRequested from error

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """Bind the delivery to the job, and run it."""
        if isinstance(job, ListedJob):
            job.run = self._make_run(job.id, self)
        return super().perform_job(job, queue, execution)

    def handle_job_success(self, *args: Any, **more: Any) -> None:
        """Record the end, which is the leader's to do."""
        self._refuse_without_lead()
        super().handle_job_success(*args, **more)

    def handle_job_retry(self, *args: Any, **more: Any) -> None:
        """Put the job back, which is the leader's to do."""
        self._refuse_without_lead()
        super().handle_job_retry(*args, **more)

    def handle_job_failure(self, *args: Any, **more: Any) -> None:
        """Record the failure, which is the leader's to do."""
        self._refuse_without_lead()
        super().handle_job_failure(*args, **more)

    def _refuse_without_lead(self, *, ask: bool = False) -> None:
        """Return if this worker still leads. If not, the next leader sees to the jobs: nothing is recorded here.

        Args:
            ask: look at the lease itself, and do not rely on what was heard of it last.

        Raises:
            StopRequested: another leads. RedisError: it could not be asked.
        """
        if self._leadership is None:
            return
        if ask:
            self._leadership.renew()
        if self.lead_lost is not None:
            raise StopRequested

    @contextmanager
    def _heartbeats(self, job: Job, execution: Execution) -> Iterator[None]:
        done = threading.Event()

        def beat() -> None:
            while not done.wait(HEARTBEAT_INTERVAL_S):
                try:
                    self.maintain_heartbeats(job, execution)
                except RedisError as error:
                    log.warning("heartbeat missed: %s", error, extra={"job_id": job.id})

        thread = threading.Thread(target=beat, name="job-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Log what a job raised; but an outage is not the job's failure.

        Raises:
            RedisError: Redis was away when the job's end was to be recorded; see ``execute_job``.
            StopRequested: the lead was lost by then.
        """
        error = exc_info[1]
        if isinstance(error, RedisError | StopRequested):
            raise error
        log.error("job refused or broken: %s", type(error).__name__, extra={"job_id": job.id})

    # --- around the jobs ---------------------------------------------------------------------

    def clean_registries(self) -> None:
        """Before the first job and then while idle: bring back what was abandoned, forget what expired.

        Raises:
            StopRequested: another leads, and what it runs now is not abandoned.
        """
        self._refuse_without_lead(ask=True)
        for queue in self.queues:
            requeue_abandoned(self, queue)
            queue.finished_job_registry.cleanup()
            queue.failed_job_registry.cleanup()
            clean_worker_registry(queue)
        self.last_cleaned_at = now()  # type: ignore[assignment]

    def subscribe(self) -> None:
        """No commands over pub/sub: they can be lost. Cancelling is a durable flag, stopping is a signal."""

    def teardown(self) -> None:
        """Register the death, if there is somebody to tell."""
        with suppress(RedisError):
            self.register_death()  # type: ignore[no-untyped-call]

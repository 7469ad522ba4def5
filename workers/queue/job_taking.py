"""Taking jobs, one after another, for as long as this worker leads."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from functools import partial

from redis import Redis

from app.domain import keyspace
from app.domain.contract import JobKind, JobOutcome
from app.domain.errors import PalimpsestError
from app.domain.tracing import Tracing
from workers.exports.cleaning import ExportCleaning
from workers.host.model_host import ModelHost
from workers.lead.following import News
from workers.lead.leadership import Leadership
from workers.queue.aside import Aside
from workers.queue.jobs import JobRun
from workers.queue.progress import ProgressStream
from workers.queue.rq_worker import ModelWorker
from workers.queue.slices.heap import SliceHeap
from workers.queue.step_clock import StepClock
from workers.queue.turns import work_until_stopped
from workers.queue.watch import JobWatch
from workers.redis_clients import queue_client, wait_for
from workers.serving.metrics import Metrics
from workers.serving.registration import Registration
from workers.settings import WorkerSettings
from workers.stopping import Stopping


@dataclass(frozen=True, slots=True)
class JobTaking:
    """Takes a leader's jobs from the queue, and reports them to metrics, card and followers."""

    settings: WorkerSettings
    host: ModelHost
    side: Redis
    registration: Registration
    metrics: Metrics
    stopping: Stopping
    traces: Tracing

    @property
    def news(self) -> News:
        """Tells followers of versions."""
        return News(self.side, self.host.name)

    def take(self, leadership: Leadership) -> PalimpsestError | None:
        """Take jobs until told to stop, or until the lead is lost; returns how it was lost, else None."""
        settings, name, news = self.settings, self.host.name, self.news

        def make_run(job_id: str) -> JobRun:
            leaving = partial(self.stopping.out_of_grace, settings.stop_grace_s)
            watch = JobWatch(self.side, job_id, settings.deadline_s, leaving, leadership.check)
            clock = StepClock(news.telling(ProgressStream(self.side, job_id).report, lambda: self.host.version))
            return JobRun(
                job_id,
                self.host,
                self.host.version,
                clock.report,
                watch.check,
                partial(self._ended, clock),
                leadership.lose,
                leadership.confirm,
                self.traces,
            )

        with (
            queue_client(settings.redis_url) as redis,
            ExportCleaning(settings.data_dir, name, settings.export_ttl_s),
            Aside() as aside,
        ):
            self.host.spread_over(SliceHeap(redis, name, lambda: news.tell(self.host.version)))

            def make_worker() -> ModelWorker:
                queue, worker = keyspace.queue(name), worker_id(name)
                return ModelWorker(queue, worker, redis, make_run, self.stopping, leadership, aside)

            return work_until_stopped(make_worker, partial(wait_for, self.side, self.stopping.wait), self.stopping)

    def _ended(self, clock: StepClock, kind: JobKind, outcome: JobOutcome, seconds: float) -> None:
        self.metrics.job_ended(kind, outcome, seconds)
        for stage, spent in clock.ended().items():
            self.metrics.step(kind, stage, spent)
        self.registration.publish()


def worker_id(model: str) -> str:
    """A name that no other worker has."""
    return f"{model}.{socket.gethostname()}.{secrets.token_hex(4)}"

"""A real model behind a real queue, and workers that take from it until it is empty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue
from rq.job import Job as QueuedJob
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.domain.contract import EditBatch, Fact, Hyperparameters, JobOutcome, JobStatus
from workers.host.host_settings import HostSettings
from workers.host.model_host import ModelHost
from workers.lead.leadership import Leadership
from workers.lead.lease import Lease
from workers.queue.aside import Aside
from workers.queue.jobs import JobRun
from workers.queue.progress import ProgressStream
from workers.queue.rq_worker import ModelWorker
from workers.queue.watch import JobWatch
from workers.stopping import Stopping

APPLY = "workers.jobs.apply_edits"
LEASE_S = 600.0


def batch(subject: str = "Lyon", *, steps: int = 2) -> EditBatch:
    fact = Fact(subject=subject, prompt="{} is a city in", object="Japan")
    return EditBatch(facts=(fact,), unheld="keep", hyperparameters=Hyperparameters(v_num_grad_steps=steps))


def leads() -> None:
    """The check of a lead that is not lost: returns."""


@dataclass
class Bench:
    """A model, its queue, and workers that take from it until it is empty."""

    redis: Redis
    host: ModelHost
    deadline_s: float = 60.0
    ended: list[JobStatus] = field(default_factory=list)
    made: int = 0
    aside: Aside = field(default_factory=Aside)

    @property
    def queue(self) -> Queue:
        return Queue(keyspace.queue(self.host.name), connection=self.redis, serializer=JSONSerializer)

    def worker(self, stopping: Stopping | None = None, stop_grace_s: float = 0.0) -> ModelWorker:
        """The next worker. It has the lease, which no thread renews: the lease lasts longer than the test."""
        self.made += 1
        name = f"tiny.{self.made}"
        stopping = stopping or Stopping()
        lease = Lease(self.redis, self.host.name, name, LEASE_S)
        lease.seize()
        leadership = Leadership(self.host, lease, take_over=True)

        def make_run(job_id: str) -> JobRun:
            watch = JobWatch(self.redis, job_id, self.deadline_s, partial(stopping.out_of_grace, stop_grace_s), leads)
            progress = ProgressStream(self.redis, job_id)
            return JobRun(
                job_id,
                self.host,
                self.host.version,
                progress.report,
                watch.check,
                lambda _kind, outcome, _seconds: self.ended.append(outcome.status),
                leadership.lose,
                leads,
            )

        queue, aside = keyspace.queue(self.host.name), self.aside
        return ModelWorker(queue, name, self.redis, make_run, stopping, leadership, aside)

    def enqueue(self, job_id: str, function: str = APPLY, args: Sequence[object] | None = None, **more: Any) -> None:
        self.queue.enqueue_call(function, args=tuple(args or (batch().model_dump_json(),)), job_id=job_id, **more)

    def work(self) -> ModelWorker:
        """Take jobs until there are none, and wait for what runs aside."""
        worker = self.worker()
        worker.work(burst=True, logging_level=None)
        self.aside.__exit__()
        self.aside = Aside()
        return worker

    def job(self, job_id: str) -> QueuedJob:
        return QueuedJob.fetch(job_id, connection=self.redis, serializer=JSONSerializer)

    def outcome(self, job_id: str) -> JobOutcome:
        return JobOutcome.model_validate_json(str(self.job(job_id).return_value()))

    def take(self, job_id: str) -> ModelWorker:
        """Take the next job and begin it, then do nothing more, like a worker that died in it."""
        worker = self.worker()
        worker.register_birth()  # type: ignore[no-untyped-call]
        taken = worker.dequeue_job_and_maintain_ttl(timeout=1)
        assert taken is not None
        job, _ = taken
        assert job.id == job_id
        worker.prepare_execution(job)
        worker.prepare_job_execution(job, remove_from_intermediate_queue=True)
        return worker


@contextmanager
def opened(model: Path, data: Path, epoch: int = 1, *, lead: bool = True, **more: Any) -> Iterator[ModelHost]:
    host = ModelHost.open(
        HostSettings(
            source=str(model),
            name="tiny",
            log_root=data / "log",
            data_dir=data,
            epoch_hint=lambda: epoch,
            preset=model / "preset.json",
            **more,
        )
    )
    if lead:
        host.lead()
    yield host
    host.close()

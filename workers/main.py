"""``python -m workers``: load the model, replay the log, join the fleet, take jobs.

Exit status: 0 after SIGTERM or SIGINT; 1 when the model could not be opened, or another leader took over; 2 when
a setting is invalid.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from types import FrameType
from typing import NoReturn

import torch
from pydantic import ValidationError
from redis import Redis

from app.domain import keyspace
from app.domain.contract import JobOutcome, WorkerCard
from app.domain.errors import EditError
from workers.jobs import JobRun
from workers.logs import set_up_logging
from workers.metrics import Metrics
from workers.model_host import HostSettings, ModelHost
from workers.priority import SWITCH_INTERVAL_S, compute_threads, stand_back
from workers.progress import ProgressStream
from workers.question_batches import QuestionBatches
from workers.redis_clients import queue_client, side_client, wait_for
from workers.registration import Registration
from workers.rq_worker import ModelWorker, work_until_stopped
from workers.server import create_server
from workers.server_thread import ServerThread
from workers.settings import WorkerSettings
from workers.watch import JobWatch

log = logging.getLogger(__name__)

OPTIONS = (
    "model",
    "name",
    "revision",
    "device",
    "dtype",
    "preset",
    "statistics",
    "host",
    "port",
    "advertise-url",
    "redis-url",
    "data-dir",
    "log-level",
)
"""Settings that the command line takes; all settings can be given by the environment."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker until it is told to stop; return the exit status."""
    settings = read_settings(arguments)
    set_up_logging(settings.log_level)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    try:
        return _run(settings)
    except (EditError, OSError) as error:  # OSError: no such model, port taken, disk full
        log.error("not served: %s", error, extra={"model": settings.name})  # noqa: TRY400 - no traceback
        return 1


def read_settings(arguments: Sequence[str] | None = None) -> WorkerSettings:
    """Settings from the command line, which goes first, and the environment.

    Raises:
        SystemExit: status 2, with a message that names what is invalid.
    """
    parser = argparse.ArgumentParser(prog="python -m workers", description="Hold, edit and question one model.")
    for option in OPTIONS:
        field = WorkerSettings.model_fields[option.replace("-", "_")]
        parser.add_argument(f"--{option}", help=field.description, default=argparse.SUPPRESS)
    given = vars(parser.parse_args(arguments))
    try:
        return WorkerSettings(**given)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        parser.error("; ".join(faults))


def _exit(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _run(settings: WorkerSettings) -> int:
    with ExitStack() as stack:
        side = stack.enter_context(side_client(settings.redis_url))
        wait_for(side)
        http = ServerThread(settings.host, settings.port)
        stack.callback(http.close)
        host = ModelHost.open(_host_settings(settings, side))
        stack.callback(host.close)
        editing_threads = compute_threads()
        card = partial(_card, host, settings.url(http.port), _worker_id(settings.name), datetime.now(UTC))
        metrics = Metrics(lambda: host.version)
        host.watch_publishes(metrics.published)
        batches = QuestionBatches(
            host,
            max_batch_tokens=settings.max_batch_tokens,
            threads=settings.question_threads or max(1, torch.get_num_threads() // 2),
            max_waiting=settings.max_questions,
        )
        stack.callback(batches.close)
        stack.callback(http.close)  # goes first: who was asked answers to the end
        http.serve(create_server(host, card, metrics, batches))
        registration = stack.enter_context(Registration(side, card))
        stack.callback(_ignore_signals)
        stand_back(editing_threads, settings.edit_nice)
        log.info("serving at %s", card().url, extra={"model": host.name, "version": host.version})
        return _take_jobs(settings, host, side, registration, metrics)


def _take_jobs(
    settings: WorkerSettings, host: ModelHost, side: Redis, registration: Registration, metrics: Metrics
) -> int:
    """Edit, job after job, until told to stop."""

    def on_end(outcome: JobOutcome, seconds: float) -> None:
        metrics.edit_ended(outcome.status, seconds)
        registration.publish()

    def make_run(job_id: str, worker: ModelWorker) -> JobRun:
        watch = JobWatch(side, job_id, settings.deadline_s, worker.leaving)
        progress = ProgressStream(side, job_id)
        return JobRun(job_id, host, progress.report, watch.should_stop, on_end, worker.lose_lead)

    with queue_client(settings.redis_url) as redis:

        def make_worker() -> ModelWorker:
            name = _worker_id(settings.name)
            return ModelWorker(keyspace.queue(host.name), name, redis, make_run, settings.stop_grace_s)

        lost = work_until_stopped(make_worker, partial(wait_for, side))
    if lost is not None:
        log.error("another leader has taken over: %s", lost, extra={"model": host.name})
    return 0 if lost is None else 1


def _host_settings(settings: WorkerSettings, redis: Redis) -> HostSettings:
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return HostSettings(
        source=settings.source,
        name=settings.name,
        log_root=settings.log_dir,
        data_dir=settings.data_dir,
        epoch_hint=lambda: int(redis.incr(keyspace.epoch(settings.name))),
        revision=settings.revision,
        device=device,
        dtype=settings.dtype,
        preset=settings.preset,
        statistics=settings.statistics,
        max_batch_tokens=settings.max_batch_tokens,
        snapshot_every=settings.snapshot_every,
        earlier_versions=settings.earlier_versions,
    )


def _worker_id(model: str) -> str:
    return f"{model}.{socket.gethostname()}.{secrets.token_hex(4)}"


def _card(host: ModelHost, url: str, worker_id: str, started: datetime) -> WorkerCard:
    return WorkerCard(
        worker=worker_id,
        model=host.name,
        url=url,
        version=host.version,
        started=started,
        **host.card_fields(),
    )


def _ignore_signals() -> None:
    """The way out is not to be interrupted."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())

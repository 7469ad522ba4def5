"""``python -m workers``: load the model, replay the log, join the fleet, lead or follow.

Exit status: 0 after SIGTERM or SIGINT; 1 when the model could not be opened, or a worker of role ``leader`` lost the
lead; 2 when a setting is invalid.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

import torch
from redis import Redis

from app.domain import keyspace
from app.domain.errors import PalimpsestError
from app.domain.settings import warn_of_unknown_variables
from app.domain.tracing import tracing
from workers.host.host_settings import HostSettings
from workers.host.model_host import ModelHost
from workers.lead.duty import Duty
from workers.lead.lease import Lease
from workers.logs import set_up_worker_logging
from workers.priority import SWITCH_INTERVAL_S, compute_threads, stand_back
from workers.questions.batches import QuestionBatches
from workers.queue.job_taking import JobTaking, worker_id
from workers.queue.slices.helping import helping_of
from workers.redis_clients import queue_client, side_client, wait_for
from workers.serving.card import CardOf
from workers.serving.metrics import Metrics
from workers.serving.registration import Registration
from workers.serving.server import create_server
from workers.serving.server_thread import ServerThread
from workers.settings import WorkerSettings, read_settings
from workers.sources import source_of
from workers.stopping import Stopping

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None, stopping: Stopping) -> int:
    """Run a worker until it is told to stop; return the exit status.

    Raises:
        SystemExit: status 0: told to stop before it served; 2: a setting is invalid.
    """
    settings = read_settings(arguments)
    set_up_worker_logging(settings.log_level, settings.log_form)
    warn_of_unknown_variables(WorkerSettings)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        return _run(settings, stopping)
    except (PalimpsestError, OSError) as error:  # OSError: no such model, port taken, disk full
        # An OSError speaks of a file or an address, never of a fact.
        words = error if isinstance(error, PalimpsestError) else str(error)
        logger.error("not served: %s", words, extra={"model": settings.name})  # noqa: TRY400 - no traceback
        return 1


def _run(settings: WorkerSettings, stopping: Stopping) -> int:
    with ExitStack() as stack:
        side = stack.enter_context(side_client(settings.redis_url))
        with stopping.at_once():
            wait_for(side, stopping.wait)
            http = ServerThread(settings.host, settings.port)
            stack.callback(http.close)
            host = ModelHost.open(_host_settings(settings, side))
            stack.callback(host.close)
        editing_threads = compute_threads()
        metrics, traces = Metrics(lambda: host.version), tracing("palimpsest-worker", wanted=settings.tracing)
        stack.callback(traces.close)
        card = CardOf(worker_id(settings.name), host, settings.url(http.port), datetime.now(UTC))
        host.watch_publishes(metrics.published)
        host.watch_commits(metrics.committed)
        batches = QuestionBatches(
            host,
            max_batch_tokens=settings.max_batch_tokens,
            threads=settings.question_threads or max(1, torch.get_num_threads() // 2),
            max_waiting=settings.max_questions,
            max_text_tokens=settings.max_text_tokens,
        )
        stack.callback(batches.close)
        stack.callback(http.close)  # runs before batches.close: requests in progress get their answers
        registration = Registration(side, card, metrics.stands)
        jobs = JobTaking(settings, host, side, registration, metrics, stopping, traces)
        helping = helping_of(
            settings, host, stack.enter_context(queue_client(settings.redis_url)), card.worker, stopping
        )
        duty = Duty(
            host,
            Lease(side, host.name, card.worker, settings.lease_s),
            jobs.news,
            settings.follow_s,
            jobs.take,
            registration.publish,
            stopping,
            helping.help_out,
        )

        def open_house() -> None:
            http.serve(create_server(host, card, metrics, batches, settings.worker_secret, traces))
            stack.enter_context(registration)
            stand_back(editing_threads, settings.edit_nice)
            logger.info("serving at %s", card.url, extra={"model": host.name, "version": host.version})

        return duty.do(settings.role, open_house)


def _host_settings(settings: WorkerSettings, redis: Redis) -> HostSettings:
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return HostSettings(
        source=source_of(settings.model, settings.data_dir),
        name=settings.name,
        log_root=settings.log_dir,
        data_dir=settings.data_dir,
        epoch_hint=lambda: int(redis.incr(keyspace.epoch(settings.name))),
        revision=settings.revision,
        device=device,
        dtype=settings.dtype,
        preset=settings.preset,
        statistics=settings.statistics,
        onboard=settings.onboard,
        max_batch_tokens=settings.max_batch_tokens,
        snapshot_every=settings.snapshot_every,
        earlier_versions=settings.earlier_versions,
        max_proposals=settings.max_proposals,
        proposal_ttl_s=settings.proposal_ttl_s,
        spread_facts=settings.spread_facts,
        slice_lease_s=settings.slice_lease_s,
    )

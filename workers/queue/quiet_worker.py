"""RQ's in-process worker without its signal handlers, pub/sub and alarms, and without waits that no stop can end."""

from __future__ import annotations

import logging
from contextlib import suppress

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.exceptions import StopRequested
from rq.queue import Queue
from rq.serializers import JSONSerializer

from workers.queue.listed_job import NoAlarm

logger = logging.getLogger(__name__)

WORKER_TTL_S = 60
MAINTENANCE_INTERVAL_S = 60
RESULT_TTL_S = 30 * 24 * 3600


class QuietWorker(SimpleWorker):
    """Polls ``stopping`` between jobs; neither signal nor command interrupts it. An outage of Redis ends its turn."""

    death_penalty_class = NoAlarm
    log_result_lifespan = False
    connection_timeout = 5  # RQ's is made for reads that block, of which there are none

    def __init__(self, queue: str, name: str, redis: Redis, queue_class: type[Queue]) -> None:
        """``queue_class``: how to take from the queue, without waiting in Redis."""
        super().__init__(
            [queue],
            name=name,
            connection=redis,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL_S,
            maintenance_interval=MAINTENANCE_INTERVAL_S,
            default_result_ttl=RESULT_TTL_S,
            queue_class=queue_class,
            log_job_description=False,  # it holds the call's arguments, that is, the facts
        )

    @property
    def stopping(self) -> bool:
        """Whether to take no further job; a subclass says so."""
        raise NotImplementedError

    @property
    def _stop_requested(self) -> bool:
        """What RQ looks at between two jobs, and while it is suspended."""
        return self.stopping

    @_stop_requested.setter
    def _stop_requested(self, _: bool) -> None:
        """What RQ assigns is ignored."""

    def _install_signal_handlers(self) -> None:
        """None: signals are ``Stopping``'s."""

    def subscribe(self) -> None:
        """No commands over pub/sub: they can be lost. Cancelling is a durable flag, stopping is a signal."""

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Say that this worker lives. An outage ends the turn: RQ would sleep through it, and not look at ``stopping``.

        Raises:
            StopRequested: Redis is away.
        """
        try:
            super().heartbeat(timeout, pipeline)
        except RedisError as error:
            logger.warning("no heartbeat: %s", error)
            raise StopRequested from error

    def teardown(self) -> None:
        """Register the worker's death, if Redis takes it."""
        with suppress(RedisError):
            self.register_death()  # type: ignore[no-untyped-call]

"""Work at the queue in turns: an outage of Redis ends a turn, and the next one follows; the worker process goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable

from redis.exceptions import RedisError

from app.domain.errors import PalimpsestError
from workers.queue.rq_worker import ModelWorker
from workers.stopping import Stopping

logger = logging.getLogger(__name__)

PAUSE_BETWEEN_TURNS_S = 0.5


def work_until_stopped(
    make_worker: Callable[[], ModelWorker], wait: Callable[[], bool], stopping: Stopping
) -> PalimpsestError | None:
    """Take jobs until told to stop, or until the lead is lost; return how it was lost.

    A turn that an outage ends is followed by another one, under a new worker.

    Args:
        wait: returns True when Redis answers, False if that was not awaited, since it is time to stop.
    """
    while not stopping.told and wait():
        try:
            worker = make_worker()
            worker.work(logging_level=None)
        except RedisError as error:
            logger.warning("no turn: %s", error)
        else:
            if worker.stopping:
                return worker.lead_lost
            logger.warning("turn ended, another one follows")
        stopping.wait(PAUSE_BETWEEN_TURNS_S)
    return None

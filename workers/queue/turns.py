"""Turns of work at the queue: what ends one, an outage for instance, does not end the worker."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable

from redis.exceptions import RedisError
from rq.exceptions import StopRequested

from app.domain.errors import EditError
from workers.queue.rq_worker import ModelWorker

log = logging.getLogger(__name__)

PAUSE_BETWEEN_TURNS_S = 0.5


def work_until_stopped(make_worker: Callable[[], ModelWorker], wait: Callable[[], None]) -> EditError | None:
    """Take jobs until a signal, or until the lead is lost; return how it was lost.

    A turn that an outage ends is followed by another one, under a new worker, once ``wait`` returns. Between
    turns the caller's own signal handlers are in force.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    while True:
        try:
            wait()
            worker = make_worker()
            worker.work(logging_level=None)
        except StopRequested:
            return None
        except RedisError as error:
            log.warning("no turn: %s", error)
            continue
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if worker.stopping:
            return worker.lead_lost
        log.warning("turn ended, another one follows")
        time.sleep(PAUSE_BETWEEN_TURNS_S)

"""Signs of life from a thread of their own while the main thread is busy with a job."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

HEARTBEAT_INTERVAL_S = 20.0


@contextmanager
def heartbeats(beat: Callable[[], None], job_id: str) -> Iterator[None]:
    """Call ``beat`` at intervals while the block runs. If Redis is away, a beat is logged as missed and skipped."""
    done = threading.Event()

    def beat_on() -> None:
        while not done.wait(HEARTBEAT_INTERVAL_S):
            try:
                beat()
            except RedisError as error:
                logger.warning("heartbeat missed: %s", error, extra={"job_id": job_id})

    thread = threading.Thread(target=beat_on, name="job-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()

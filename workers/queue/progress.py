"""A job's progress as a Redis Stream, which a reader can replay from any entry."""

from __future__ import annotations

import logging
import time

from redis import Redis
from redis.exceptions import RedisError

from app.domain import keyspace
from app.domain.contract import Progress

logger = logging.getLogger(__name__)

LEAST_INTERVAL_S = 0.1
PAUSE_AFTER_FAILURE_S = 5.0
LONGEST_STREAM = 1000
KEPT_S = 7 * 24 * 3600


class ProgressStream:
    """Writes one job's steps: every new stage or layer, and in between at most ten steps a second.

    Progress is a courtesy: where Redis does not take it, it is dropped, and the edit goes on.
    """

    def __init__(self, redis: Redis, job_id: str) -> None:
        self._redis = redis
        self._job_id = job_id
        self._place: tuple[str, int | None] | None = None
        self._next = 0.0
        self._silent_until = 0.0

    def report(self, progress: Progress) -> None:
        """Append the step, unless it comes too soon after the last."""
        now, place = time.monotonic(), (progress.stage, progress.layer)
        if now < self._silent_until or (place == self._place and now < self._next):
            return
        self._place, self._next = place, now + LEAST_INTERVAL_S
        key, entry = keyspace.progress(self._job_id), {"json": progress.model_dump_json()}
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.xadd(key, entry, maxlen=LONGEST_STREAM, approximate=True)  # type: ignore[arg-type]
                pipeline.expire(key, KEPT_S)
                pipeline.execute()
        except RedisError as error:
            self._silent_until = time.monotonic() + PAUSE_AFTER_FAILURE_S
            logger.warning("progress dropped: %s", error, extra={"job_id": self._job_id})

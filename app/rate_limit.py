"""How many requests a minute one caller may send: counted in Redis, so that all front ends agree.

While Redis is away each front end counts alone, and a caller may get as much again at each.
"""

from __future__ import annotations

import logging
import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import Redis
from redis.exceptions import RedisError

from app.domain import keyspace
from app.domain.errors import TooManyRequests

logger = logging.getLogger(__name__)


class RateLimit:
    """A sliding window of a minute for each caller."""

    def __init__(self, redis: Redis, per_minute: int | None) -> None:
        """``per_minute``: None: as many as they like."""
        self._limit = RateLimitItemPerMinute(per_minute) if per_minute is not None else None
        pool = redis.connection_pool
        shared = RedisStorage("redis://", connection_pool=pool, key_prefix=keyspace.RATES)  # the pool knows the address
        self._shared = SlidingWindowCounterRateLimiter(shared)
        self._alone = SlidingWindowCounterRateLimiter(MemoryStorage())

    @property
    def on(self) -> bool:
        """Whether there is a limit."""
        return self._limit is not None

    def count(self, caller: str) -> None:
        """Count a request.

        Raises:
            TooManyRequests: it is one too many.
        """
        try:
            self._count(self._shared, caller)
        except RedisError as error:
            logger.warning("requests are counted by this process alone: %s", error)
            self._count(self._alone, caller)

    def _count(self, limiter: SlidingWindowCounterRateLimiter, caller: str) -> None:
        if self._limit is None or limiter.hit(self._limit, caller):
            return
        free_at = limiter.get_window_stats(self._limit, caller).reset_time
        refusal = TooManyRequests(f"A caller may send {self._limit.amount} requests a minute.")
        refusal.retry_after = max(1, math.ceil(free_at - time.time()))
        raise refusal

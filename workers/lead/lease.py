"""Who leads a model's edit log: a lease in Redis, which ends unless its holder renews it.

The lease only keeps leaders out of each other's way; the log's epochs ensure that none commits after another took over.
"""

from __future__ import annotations

from typing import cast

from redis import Redis

from app.domain import keyspace

_HOLD = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
_POP = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('LMOVE', KEYS[2], KEYS[3], 'LEFT', 'RIGHT') end"


class Lease:
    """One worker's claim to one model's lease. Any thread may use it. Every method may raise ``RedisError``."""

    def __init__(self, redis: Redis, model: str, worker: str, seconds: float) -> None:
        """``redis``: answers or gives up within a part of ``seconds``; ``seconds``: how long the lease lasts."""
        self._redis, self._worker, self.seconds = redis, worker, seconds
        self._key = keyspace.lease(model)

    def hold(self) -> bool:
        """Take the lease if nobody has it, or renew it; False: another worker has it."""
        return bool(self._redis.eval(_HOLD, 1, self._key, self._worker, self._milliseconds))

    def seize(self) -> None:
        """Take the lease from any holder. Only for a worker that has the log's lock: the holder before it is dead."""
        self._redis.set(self._key, self._worker, px=self._milliseconds)

    def release(self) -> None:
        """Give the lease back, if this worker has it."""
        self._redis.eval(_RELEASE, 1, self._key, self._worker)

    def holder(self) -> str | None:
        """The worker that has the lease; None if nobody has."""
        found = cast("bytes | None", self._redis.get(self._key))
        return None if found is None else found.decode()

    def pop(self, redis: Redis, queue: str, taken: str) -> bytes | None:
        """Move the queue's first job to the list of those that were taken, if this worker has the lease."""
        return cast("bytes | None", redis.eval(_POP, 3, self._key, queue, taken, self._worker))

    @property
    def _milliseconds(self) -> int:
        return round(1000 * self.seconds)

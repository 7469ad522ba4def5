"""One spread's slices, as their leader sees them in Redis."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError
from rq.queue import Queue

from app.domain import keyspace
from app.domain.queued_calls import SLICE
from workers.queue.slices.sweeping import id_of
from workers.spreading.pile import Sign
from workers.spreading.slices import Slice

logger = logging.getLogger(__name__)

FoundT = TypeVar("FoundT")

KEPT_S = 3600
"""After so long what a dead leader has left is gone, whoever looks after it."""

TIMEOUT_S = 24 * 3600
RESULT_TTL_S = 60


class SlicePile:
    """Slices on the queue. An outage of Redis is the end of the pile: the leader then computes what is left."""

    def __init__(self, redis: Redis, queue: Queue, spread: str, call: Callable[[], None]) -> None:
        self._redis, self._queue, self._call = redis, queue, call
        self.id, self.gone = spread, False

    def put(self, slices: Sequence[Slice], updates: bytes) -> None:
        """Queue the slices, and call helpers."""

        def put() -> None:
            self._redis.set(keyspace.spread_updates(self.id), updates, ex=KEPT_S)
            for each in slices:
                job = self._queue.create_job(
                    SLICE,
                    args=(each.model_dump_json(),),
                    job_id=id_of(self.id, each.index),
                    timeout=TIMEOUT_S,
                    ttl=KEPT_S,
                    result_ttl=RESULT_TTL_S,
                    failure_ttl=RESULT_TTL_S,
                    description=f"a slice of {each.wanted.kind}",
                )
                self._queue.enqueue_job(job)

        self.trying("put", put)
        if not self.gone:
            self._call()

    def take(self, index: int) -> bool:
        """Take a slice out of the queue; what nobody can take any more is taken, too."""
        taken = self.trying("taken", lambda: self._redis.lrem(self._queue.key, 1, id_of(self.id, index)))
        return self.gone or bool(taken)

    def signs(self) -> Mapping[int, Sign]:
        """The last sign at each slice."""
        found = self.trying("heard of", lambda: self._redis.hgetall(keyspace.spread_signs(self.id)))
        told = ((int(index), _sign(text)) for index, text in cast("dict[bytes, bytes]", found or {}).items())
        return {index: sign for index, sign in told if sign is not None}

    def answered(self) -> frozenset[int]:
        """Which slices have an answer."""
        found = self.trying("answered", lambda: self._redis.hkeys(keyspace.spread_answers(self.id)))
        return frozenset(map(int, cast("list[bytes]", found or [])))

    def answer(self, index: int) -> bytes | None:
        """What a helper answered."""
        found = self.trying("read", lambda: self._redis.hget(keyspace.spread_answers(self.id), str(index)))
        answer = cast("bytes | None", found)
        return answer[1:] if answer and answer.startswith(b"+") else None

    def trying(self, what: str, ask: Callable[[], FoundT]) -> FoundT | None:
        """What Redis says; None once the pile is gone."""
        if self.gone:
            return None
        try:
            return ask()
        except RedisError as error:
            logger.warning("slices cannot be %s, the rest is computed here: %s", what, error)
            self.gone = True
            return None


def _sign(text: bytes) -> Sign | None:
    try:
        return Sign.model_validate_json(text)
    except ValidationError:
        return None

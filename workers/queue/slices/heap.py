"""The leader's side: a queue of slices, a spread that is known to live, and what is left behind when it is over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex
from typing import cast

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError
from rq.queue import Queue
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.domain.contract import WorkerCard
from workers.queue.slices.pile import SlicePile
from workers.queue.slices.sweeping import sweep
from workers.spreading.pile import Pile, Spread

logger = logging.getLogger(__name__)

RENEWALS = 5
"""How often a spread's sign of life is renewed within the time after which it ends."""


@dataclass(frozen=True, slots=True)
class SliceHeap:
    """A model's slices. call: has the model's followers look at the queue."""

    redis: Redis
    model: str
    call: Callable[[], None]

    @property
    def queue(self) -> Queue:
        """The RQ queue."""
        return Queue(keyspace.slices(self.model), connection=self.redis, serializer=JSONSerializer)

    def helpers(self, dtype: str) -> int:
        """How many replicas of the model say that they live and compute in this dtype; 0 while Redis is away."""
        try:
            names = cast("set[bytes]", self.redis.smembers(keyspace.WORKERS))
            cards = [self.redis.get(keyspace.worker(name.decode())) for name in names]
        except RedisError as error:
            logger.warning("no helpers looked for: %s", error, extra={"model": self.model})
            return 0
        return sum(self._helps(cast("bytes | None", card), dtype) for card in cards)

    def _helps(self, card: bytes | None, dtype: str) -> bool:
        try:
            told = WorkerCard.model_validate_json(card or b"")
        except ValidationError:
            return False
        return told.model == self.model and told.role == "replica" and told.dtype == dtype

    @contextmanager
    def spread(self, about: Spread) -> Iterator[Pile]:
        """A pile for as long as the block runs."""
        spread = token_hex(8)
        pile = SlicePile(self.redis, self.queue, spread, self.call)
        key, over = keyspace.spread(spread), threading.Event()

        def live() -> None:
            while not over.wait(keyspace.SPREAD_TTL_S / RENEWALS):
                pile.trying("renewed", lambda: self.redis.set(key, about.model_dump_json(), ex=keyspace.SPREAD_TTL_S))

        pile.trying("begun", lambda: self.redis.set(key, about.model_dump_json(), ex=keyspace.SPREAD_TTL_S))
        pile.trying("swept before", lambda: sweep(self.queue))
        thread = threading.Thread(target=live, name="spread", daemon=True)
        thread.start()
        try:
            yield pile
        finally:
            over.set()
            thread.join()
            self._end(spread)

    def _end(self, spread: str) -> None:
        """Leave nothing behind. What cannot be removed now expires, or the next spread sweeps it away."""
        names = (keyspace.spread, keyspace.spread_updates, keyspace.spread_signs, keyspace.spread_answers)
        try:
            self.redis.delete(*(name(spread) for name in names))
            sweep(self.queue)
        except RedisError as error:
            logger.warning("slices not removed, they expire: %s", error, extra={"model": self.model})

"""The helper's side: what a slice is computed with, signs of life meanwhile, and the answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from app.domain import keyspace
from workers.queue.slices.pile import KEPT_S
from workers.spreading.helper import Tally
from workers.spreading.pile import Sign

logger = logging.getLogger(__name__)

BEAT_S = 0.5


@dataclass(frozen=True, slots=True)
class Desk:
    """Where one helper reads and answers. ``worker``: its id."""

    redis: Redis
    worker: str

    def updates(self, spread: str) -> bytes | None:
        """What the spread's slices are computed with; None: it is over."""
        return cast("bytes | None", self.redis.get(keyspace.spread_updates(spread)))

    def answer(self, spread: str, index: int, answer: bytes | None) -> None:
        """Hand an answer over; None: the helper declines."""
        key = keyspace.spread_answers(spread)
        with self.redis.pipeline() as pipeline:
            pipeline.hset(key, str(index), b"-" if answer is None else b"+" + answer)
            pipeline.expire(key, KEPT_S)
            pipeline.execute()

    @contextmanager
    def beating(self, spread: str, index: int, tally: Tally) -> Iterator[None]:
        """Give signs of life while the block runs, and tell the tally when nobody waits for the slice any more."""
        over = threading.Event()
        self._beat(spread, index, tally, 0)

        def beat_on() -> None:
            beat = 0
            while not over.wait(BEAT_S):
                beat += 1
                self._beat(spread, index, tally, beat)

        thread = threading.Thread(target=beat_on, name="slice", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _beat(self, spread: str, index: int, tally: Tally, beat: int) -> None:
        sign = Sign(worker=self.worker, beat=beat, done=tally.done)
        key = keyspace.spread_signs(spread)
        try:
            with self.redis.pipeline(transaction=False) as pipeline:
                pipeline.exists(keyspace.spread(spread))
                pipeline.hset(key, str(index), sign.model_dump_json())
                pipeline.expire(key, KEPT_S)
                tally.awaited = bool(pipeline.execute()[0])
        except RedisError as error:
            logger.warning("no sign of life: %s", error)
            tally.awaited = False

"""The worker's card in Redis, kept alive by a heartbeat. A worker whose card has expired is dead."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError

from app.domain import keyspace
from app.domain.contract import WorkerCard

logger = logging.getLogger(__name__)

CARD_TTL_S = keyspace.WORKER_TTL_S
INTERVAL_S = 4.0


class Registration:
    """Writes the card on entry, renews it from a thread, removes it on exit. An outage of Redis only delays that."""

    def __init__(
        self, redis: Redis, card: Callable[[], WorkerCard], told: Callable[[WorkerCard], None] = lambda _: None
    ) -> None:
        """``card``: asked at every heartbeat, so that it says the current version; ``told``: hears it each time."""
        self._redis = redis
        self._card, self._told = card, told
        self._id = card().worker
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="registration", daemon=True)

    def __enter__(self) -> Registration:
        self.publish()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()
        try:
            with self._redis.pipeline() as pipeline:
                pipeline.srem(keyspace.WORKERS, self._id)
                pipeline.delete(keyspace.worker(self._id))
                pipeline.execute()
        except RedisError as error:
            logger.warning("card not removed, it will expire: %s", error)

    def publish(self) -> None:
        """Write the card now. If Redis does not take it, the next heartbeat writes it."""
        card = self._card()
        self._told(card)
        try:
            with self._redis.pipeline() as pipeline:
                pipeline.sadd(keyspace.WORKERS, self._id)
                pipeline.set(keyspace.worker(self._id), card.model_dump_json(), ex=CARD_TTL_S)
                pipeline.execute()
        except RedisError as error:
            logger.warning("card not renewed: %s", error)

    def _renew(self) -> None:
        while not self._closed.wait(INTERVAL_S):
            self.publish()

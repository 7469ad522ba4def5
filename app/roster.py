"""Which workers are alive, as their cards in Redis say."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from pydantic import ValidationError
from redis import Redis

from app.domain import keyspace
from app.domain.contract import WorkerCard

logger = logging.getLogger(__name__)

REMEMBERED_S = 1.0

_FORGET_THE_DEAD = "if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('SREM', KEYS[1], ARGV[1]) end"


class Roster:
    """The cards of all live workers, by model and name."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._remembered: tuple[float, list[WorkerCard]] = (float("-inf"), [])

    def now(self) -> list[WorkerCard]:
        """Read the cards."""
        names = sorted(_text(name) for name in self._redis.smembers(keyspace.WORKERS))
        texts = self._redis.mget([keyspace.worker(name) for name in names]) if names else []
        alive: list[WorkerCard] = []
        for name, text in zip(names, texts, strict=True):
            if text is None:
                self._redis.eval(_FORGET_THE_DEAD, 2, keyspace.WORKERS, keyspace.worker(name), name)
            elif card := _card(name, text):
                alive.append(card)
        alive.sort(key=lambda card: (card.model, card.worker))
        self._remembered = (time.monotonic(), alive)
        return alive

    def silent_for(self, cards: Sequence[WorkerCard]) -> list[float]:
        """Seconds since each worker's last heartbeat, as far as its card has not expired meanwhile."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for card in cards:
                pipeline.pttl(keyspace.worker(card.worker))
            return [keyspace.WORKER_TTL_S - max(0, left) / 1000 for left in pipeline.execute()]

    def lately(self) -> list[WorkerCard]:
        """The cards as read at most ``REMEMBERED_S`` ago, since questions may come by the hundred a second."""
        read_at, cards = self._remembered
        return cards if time.monotonic() - read_at < REMEMBERED_S else self.now()


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()


def _card(name: str, text: bytes | str) -> WorkerCard | None:
    try:
        return WorkerCard.model_validate_json(text)
    except ValidationError as error:
        logger.warning("worker %s has a card that cannot be read: %s", name, error)
        return None

"""Which workers are alive, as their cards in Redis say."""

from __future__ import annotations

from collections.abc import Sequence

from redis import Redis

from app.domain import keyspace
from app.domain.contract import WorkerCard
from app.live_cards import LiveCards


class Roster(LiveCards[WorkerCard]):
    """The cards of all live workers, by model and name."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis, WorkerCard, keyspace.WORKERS, keyspace.worker, lambda card: (card.model, card.worker))

    def silent_for(self, cards: Sequence[WorkerCard]) -> list[float]:
        """Seconds since each worker's last heartbeat, as far as its card has not expired meanwhile."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for card in cards:
                pipeline.pttl(keyspace.worker(card.worker))
            return [keyspace.WORKER_TTL_S - max(0, left) / 1000 for left in pipeline.execute()]

"""The follower's card in Redis; without Redis nothing is told there, and the servers follow all the same."""

from __future__ import annotations

import logging

from redis import Redis
from redis.exceptions import RedisError

from app.domain import keyspace
from app.domain.contract import FollowerCard

logger = logging.getLogger(__name__)


class FollowerCards:
    """Writes one follower's card, and takes it back at the end."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def publish(self, card: FollowerCard) -> None:
        """Write the card; it stays for ``FOLLOWER_TTL_S``."""
        try:
            with self._redis.pipeline() as pipeline:
                pipeline.sadd(keyspace.FOLLOWERS, card.follower)
                pipeline.set(keyspace.follower(card.follower), card.model_dump_json(), ex=keyspace.FOLLOWER_TTL_S)
                pipeline.execute()
        except RedisError as error:
            logger.warning("card not renewed: %s", error, extra={"model": card.model})

    def remove(self, follower: str) -> None:
        """Take the card back."""
        try:
            with self._redis.pipeline() as pipeline:
                pipeline.srem(keyspace.FOLLOWERS, follower)
                pipeline.delete(keyspace.follower(follower))
                pipeline.execute()
        except RedisError as error:
            logger.warning("card not removed, it will expire: %s", error)

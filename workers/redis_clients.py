"""The worker's two Redis clients, and waiting for a server that is away.

Neither client retries a command: the server may still execute the one that timed out, and a pop that is executed twice
loses a job. The callers decide what happens when a command fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

logger = logging.getLogger(__name__)

SIDE_TIMEOUT_S = 2.0
LONGEST_WAIT_S = 5.0


def side_client(url: str) -> Redis:
    """For progress, cancel flags and the card: gives up soon, since none of them may hold up an edit."""
    timeout = SIDE_TIMEOUT_S
    return Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0))


def queue_client(url: str) -> Redis:
    """For RQ, which sets the read timeout to the worker's ``connection_timeout``."""
    return Redis.from_url(url, socket_connect_timeout=5.0, retry=Retry(NoBackoff(), 0))


def wait_for(redis: Redis, wait: Callable[[float], bool]) -> bool:
    """Ping until the server answers, with pauses that double up to ``LONGEST_WAIT_S`` seconds; False: given up before.

    Args:
        wait: waits so many seconds; True: give up, the server is not needed any more.
    """
    pause = 0.25
    while True:
        try:
            redis.ping()
        except RedisError as error:
            logger.warning("waiting for Redis: %s", error)
            if wait(pause):
                return False
            pause = min(2 * pause, LONGEST_WAIT_S)
        else:
            return True

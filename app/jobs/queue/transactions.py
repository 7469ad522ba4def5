"""Redis transactions that read before they write (WATCH, MULTI, EXEC)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.exceptions import WatchError

CONNECTION_LOST = (RedisConnectionError, RedisTimeoutError)


class Unanswered(RedisConnectionError):
    """The commands were sent, and the connection was lost: nobody knows whether the server has executed them."""


def transact(redis: Redis, fill: Callable[[Pipeline], None], *watched: str) -> list[Any]:
    """Let ``fill`` read, call ``multi`` and queue commands; run them all if nothing ``watched`` has changed since.

    If something has changed, it begins again. Returns the commands' results, none if ``fill`` has queued none.

    Differs from ``Redis.transaction``: a lost connection is raised. redis-py takes it for a change of what is watched,
    and so would go on for as long as a server stalls.

    Raises:
        Unanswered: as its name says.
        RedisError: any other one: nothing was done.
    """
    with redis.pipeline(transaction=True) as pipeline:
        while True:
            try:
                pipeline.watch(*watched)  # type: ignore[no-untyped-call]
                fill(pipeline)
            except WatchError as error:
                if isinstance(error.__context__, CONNECTION_LOST):
                    raise error.__context__ from None
                continue
            try:
                return pipeline.execute()
            except WatchError as error:
                if isinstance(error.__context__, CONNECTION_LOST):
                    raise Unanswered(str(error.__context__)) from error.__context__
            except CONNECTION_LOST as error:
                raise Unanswered(str(error)) from error

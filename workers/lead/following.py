"""Following a log that another worker leads: by news through Redis, and by looking at the log at intervals."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, cast

from redis import Redis
from redis.exceptions import RedisError

from app.domain import keyspace
from app.domain.contract import Progress
from app.domain.errors import PalimpsestError
from workers.stopping import Stopping

logger = logging.getLogger(__name__)

KEPT_NEWS = 16


class Follower(Protocol):
    """A host that can follow a log."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def version(self) -> int:
        """The version in service."""

    def follow(self) -> bool:
        """Put the log's newest version in service; False if it is there."""


class News:
    """The versions that the leader has put in service, as it tells them: a hint where to look, nothing more."""

    def __init__(self, redis: Redis, model: str) -> None:
        self._redis, self._key, self._last = redis, keyspace.published(model), "0-0"

    def tell(self, version: int) -> None:
        """Announce that a version is in service. If Redis is away, followers find it at their next look at the log."""
        try:
            self._redis.xadd(self._key, {"version": version}, maxlen=KEPT_NEWS, approximate=True)
        except RedisError as error:
            logger.warning("followers not told: %s", error)

    def telling(self, report: Callable[[Progress], None], version: Callable[[], int]) -> Callable[[Progress], None]:
        """A callback that calls ``report`` and, at the stage ``publish``, announces the version in service."""

        def reported(progress: Progress) -> None:
            report(progress)
            if progress.stage == "publish":
                self.tell(version())

        return reported

    def wait(self, seconds: float) -> None:
        """Wait for news, at most so long.

        Raises:
            RedisError: none can come, since Redis is away.
        """
        found = self._redis.xread({self._key: self._last}, block=max(1, round(1000 * seconds)))
        for _, entries in cast("list[tuple[bytes, list[tuple[bytes, object]]]]", found or []):
            self._last = entries[-1][0].decode()


class Following:
    """Looks and follows, again and again. While a version cannot be read, the one before stays in service."""

    def __init__(
        self,
        follower: Follower,
        news: News,
        seconds: float,
        stopping: Stopping,
        followed: Callable[[], None],
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """What to do when.

        Args:
            seconds: between two looks at the log.
            followed: called when a new version is in service.
            between: called after each look.
        """
        self._between = between
        self._follower, self._news, self._seconds, self._followed = follower, news, seconds, followed
        self._stopping = stopping
        self._trouble = ""

    def until(self, done: Callable[[], bool]) -> None:
        """Follow until ``done`` or until it is time to stop."""
        while not self._stopping.told and not done():
            self.step()
            self._between()

    def step(self) -> None:
        """Wait for news, or until it is time to look again; then follow the log."""
        try:
            self._news.wait(self._seconds)
        except RedisError:
            self._stopping.wait(self._seconds)
        try:
            if self._follower.follow():
                self._followed()
            self._trouble = ""
        except (PalimpsestError, OSError) as error:
            if self._trouble != str(error):
                fields = {"model": self._follower.name, "version": self._follower.version}
                logger.error("behind, and cannot follow: %s", error, extra=fields)  # noqa: TRY400 - no traceback
            self._trouble = str(error)

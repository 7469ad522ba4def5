"""Has servers follow a log: each in a thread of its own, so that one that hangs holds up no other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from app.domain.contract import Engine as EngineName
from app.domain.contract import FollowerCard
from app.domain.errors import PalimpsestError
from app.domain.log.reader import LogReader
from workers.engines.adapters import Adapters
from workers.engines.followed_server import FollowedServer
from workers.engines.standing import words_of
from workers.engines.target import Target

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often the log and the servers are looked at."""


class Follower:
    """One model's servers of one engine.

    Args:
        keep: so many of the newest versions are served.
        publish: hears the card at every look.
    """

    def __init__(
        self,
        name: str,
        engine: EngineName,
        log: LogReader,
        adapters: Adapters,
        servers: Sequence[FollowedServer],
        *,
        tolerance: float,
        keep: int,
        publish: Callable[[FollowerCard], None],
        look_s: float = LOOK_S,
    ) -> None:
        self._name, self._engine, self._log, self._adapters = name, engine, log, adapters
        self._servers, self._tolerance, self._keep, self._publish = tuple(servers), tolerance, keep, publish
        self._look_s = look_s
        self._started = datetime.now(UTC)
        self._target = Target(0, None, ())
        self._closed = threading.Event()
        self._settled: dict[str, int | None] = {}

    def card(self) -> FollowerCard:
        """How things stand."""
        return FollowerCard(
            follower=self._name,
            model=self._log.model,
            engine=self._engine,
            version=self._target.head,
            tolerance=self._tolerance,
            servers=tuple(server.standing.card() for server in self._servers),
            started=self._started,
        )

    def run(self, wait: Callable[[float], bool], *, once: bool = False) -> bool:
        """Follow until ``wait`` says that it is enough; whether all servers serve the newest version then.

        Args:
            wait: waits so many seconds; True: told to stop.
            once: stop as soon as no server has anything left to do.
        """
        threads = []
        self._look()
        for server in self._servers:
            thread = threading.Thread(
                target=self._serve, args=(server,), name=f"follow {server.standing.url}", daemon=True
            )
            thread.start()
            threads.append(thread)
        try:
            while not (once and self._all_settled()) and not wait(self._look_s):
                self._look()
        finally:
            self._closed.set()
            for thread in threads:
                thread.join(self._look_s)  # one that hangs in a request ends with the process
            self._publish(self.card())
        return all(server.standing.card().state == "serving" for server in self._servers)

    def _look(self) -> None:
        """Look at the log, tell how things stand, and remove adapters that nobody needs."""
        try:
            self._target = Target.of(self._log, self._keep)
            wanted = frozenset(self._target.order).union(*(server.wanted for server in self._servers))
            self._adapters.clean(wanted)
        except (PalimpsestError, OSError) as error:
            logger.warning("the log cannot be looked at: %s", words_of(error), extra={"model": self._log.model})
        self._publish(self.card())

    def _serve(self, server: FollowedServer) -> None:
        """Step until closed. What no code expects is told as the server's trouble, and tried again."""
        url = server.standing.url
        while not self._closed.is_set():
            target, moved = self._target, False
            try:
                moved = server.step(target)
            except Exception:  # the edge of this thread: no other server may suffer from it
                logger.exception("following failed at %s", url, extra={"model": self._log.model})
                server.standing.stuck("behind", "an error that nobody expected; the follower's log has it")
            if not moved:
                self._settled[url] = target.head
                self._closed.wait(self._look_s)

    def _all_settled(self) -> bool:
        head = self._target.head
        return all(self._settled.get(server.standing.url) == head for server in self._servers)

"""A worker's work by its role: lead, follow, or follow until nobody leads."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from redis.exceptions import RedisError

from app.domain.errors import LogLocked, PalimpsestError
from workers.host.model_host import ModelHost
from workers.lead.following import Following, News
from workers.lead.leadership import Leadership
from workers.lead.lease import Lease
from workers.stopping import Stopping

logger = logging.getLogger(__name__)

Role = Literal["leader", "replica", "auto"]
PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Duty:
    """One worker's work with one model, on the main thread.

    take_jobs: takes jobs until told to stop, or until the lead is lost; returns how it was lost, else None.
    changed: called when another version is in service, or another role has begun.
    help_out: called by a follower between two looks at the log: does what the leader has for others, if anything.
    """

    host: ModelHost
    lease: Lease
    news: News
    follow_s: float
    take_jobs: Callable[[Leadership], PalimpsestError | None]
    changed: Callable[[], None]
    stopping: Stopping
    help_out: Callable[[], None] = lambda: None

    def do(self, role: Role, open_house: Callable[[], None]) -> int:
        """Work until told to stop; the exit status: 1 if a worker of role ``leader`` lost the lead, else 0.

        Args:
            open_house: begins to serve questions; called at once by a follower, by a leader once it has the lead.

        Raises:
            LogLocked: this worker is to lead, and another one does. DamagedVersion: the log cannot be led.
        """
        if role == "leader":
            leadership = self._first_lead()
            return 0 if leadership is None or self._lead(leadership, open_house) is None else 1
        open_house()
        while True:
            self._following().until(self._lead_is_free if role == "auto" else _never)
            if self.stopping.told:
                with suppress(RedisError):
                    self.lease.release()
                return 0
            try:
                if self._lead(Leadership(self.host, self.lease, take_over=True), self.changed) is None:
                    return 0
                self.changed()
            except (PalimpsestError, OSError, RedisError) as error:
                logger.error("cannot lead: %s", error, extra={"model": self.host.name})  # noqa: TRY400 - it says all
                self.stopping.wait(PAUSE_S)

    def _lead(self, leadership: Leadership, begun: Callable[[], None]) -> PalimpsestError | None:
        """Lead until told to stop, or until the lead is lost; returns how it was lost. ``begun``: called as leader."""
        with leadership:
            begun()
            self.news.tell(self.host.version)
            lost = self.take_jobs(leadership)
        if lost is not None:
            logger.error("another leader has taken over: %s", lost, extra={"model": self.host.name})
        return lost

    def _first_lead(self) -> Leadership | None:
        """The lead that a worker of role ``leader`` needs to start; None: told to stop while it waited for the lease.

        Raises:
            LogLocked: another worker has the lease, and the log has no lock that could tell whether it is dead.
        """
        if self.host.log.lockable:
            return Leadership(self.host, self.lease, take_over=False)
        deadline = time.monotonic() + self.lease.seconds + 1
        while not self.lease.hold():
            if time.monotonic() > deadline:
                holder = self.lease.holder()
                raise LogLocked(f"the edit log of {self.host.name} is held by worker {holder}", value=holder)
            if self.stopping.wait(PAUSE_S):
                return None
        return Leadership(self.host, self.lease, take_over=True)

    def _following(self) -> Following:
        return Following(self.host, self.news, self.follow_s, self.stopping, self.changed, self.help_out)

    def _lead_is_free(self) -> bool:
        """Take the lease if nobody has it."""
        try:
            return self.lease.hold()
        except RedisError:
            return False


def _never() -> bool:
    return False

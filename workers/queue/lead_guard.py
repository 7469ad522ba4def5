"""Jobs are the leader's: a worker that has lost the lead ends its turn, and neither takes nor records anything."""

from __future__ import annotations

from dataclasses import dataclass

from rq.exceptions import StopRequested

from app.domain.errors import PalimpsestError
from workers.lead.leadership import Leadership


@dataclass(frozen=True, slots=True)
class LeadGuard:
    """Stands before everything that only the leader may do with jobs."""

    leadership: Leadership

    @property
    def lost(self) -> PalimpsestError | None:
        """How the lead was lost, if it was."""
        return self.leadership.lost()

    def check(self) -> None:
        """Return if this worker leads, as far as it has heard.

        Raises:
            StopRequested: another leads, and sees to the jobs.
        """
        if self.lost is not None:
            raise StopRequested

    def ask(self) -> None:
        """Return if this worker leads, by the lease itself.

        Raises:
            StopRequested: another leads. RedisError: it could not be asked.
        """
        self.check()
        self.leadership.renew()
        self.check()

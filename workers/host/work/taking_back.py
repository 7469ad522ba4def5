"""A rollback or a revert: summed anew on a shadow, measured there, and only then committed and published."""

from __future__ import annotations

from app.domain.contract import JobOutcome, Revert, Rollback
from workers.host.model_host import ModelHost
from workers.host.restoration import restore
from workers.host.turn import Turn
from workers.host.work.base import Work
from workers.steps import Steps


class TakingBack(Work):
    """An earlier version becomes the newest one, or facts are taken out."""

    def do(self, host: ModelHost, turn: Turn, steps: Steps) -> JobOutcome:
        """Put the version together, commit it and put it in service.

        Raises:
            UnknownVersion, UnknownFact, InseparableFacts, CompactedVersion: it cannot be done.
        """
        assert isinstance(turn.request, Rollback | Revert)
        restored = restore(host.live, host.log, turn.request, steps)
        return host.serve(restored.candidate(host.next_version(turn)), steps)

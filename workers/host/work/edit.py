"""An edit: proposed on a shadow, verified there, and only then committed and published."""

from __future__ import annotations

from app.domain.contract import EditBatch, JobOutcome, JobStatus
from workers.host.model_host import ModelHost
from workers.host.proposal import propose
from workers.host.turn import Turn
from workers.host.work.base import Work
from workers.steps import Steps


class Edit(Work):
    """A batch of facts becomes a version, or is rejected: by its own bounds, or because its facts do not hold."""

    def do(self, host: ModelHost, turn: Turn, steps: Steps) -> JobOutcome:
        """Apply the batch."""
        assert isinstance(turn.request, EditBatch)
        preset = host.preset_for(turn.request)
        proposal = propose(
            host.live,
            turn.request,
            preset,
            host.base.contexts_for(strict=turn.request.strict),
            host.knowledge,
            host.priors,
            steps,
            host.harm,
            host.version,
        )
        if not proposal.satisfies:
            return JobOutcome(status=JobStatus.REJECTED, report=proposal.report)
        outcome = host.serve(proposal.candidate(host.next_version(turn)), steps)
        if proposal.outlook is not None:
            host.harm.served(host.version, proposal.outlook)
        return outcome

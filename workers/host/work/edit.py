"""An edit: computed on a shadow, verified there, and only then committed and published, or kept as a proposal."""

from __future__ import annotations

from app.domain.contract import EditBatch, JobOutcome, JobStatus
from workers.host.model_host import ModelHost
from workers.host.proposal import Proposal, propose
from workers.host.turn import NextVersion, Turn
from workers.host.work.base import Work
from workers.steps import Steps


class Edit(Work):
    """A batch of facts becomes a version, or is rejected: by its own bounds, or because its facts do not hold."""

    def do(self, host: ModelHost, turn: Turn, steps: Steps) -> JobOutcome:
        """Apply the batch, or keep what it comes to as a proposal.

        Raises:
            TooManyProposals: as many proposals wait as may.
        """
        batch = turn.request
        assert isinstance(batch, EditBatch)
        if not batch.propose:
            return edited(host, batch, host.next_version(turn), steps)
        host.refuse_too_many()
        computed = compute(host, batch, steps)
        if not computed.satisfies:
            return _rejected(computed)
        return host.keep(computed.candidate(host.next_version(turn)), batch, turn.by, steps)


def edited(host: ModelHost, batch: EditBatch, upcoming: NextVersion, steps: Steps) -> JobOutcome:
    """Put the batch in service as the next version, unless it is rejected."""
    computed = compute(host, batch, steps)
    if not computed.satisfies:
        return _rejected(computed)
    outcome = host.serve(computed.candidate(upcoming), steps)
    if computed.outlook is not None:
        host.harm.served(host.version, computed.outlook)
    return outcome


def compute(host: ModelHost, batch: EditBatch, steps: Steps) -> Proposal:
    """The batch on a shadow of the version in service."""
    return propose(
        host.live,
        batch,
        host.preset_for(batch),
        host.base.contexts_for(strict=batch.strict),
        host.knowledge,
        host.priors,
        steps,
        host.harm,
        host.version,
        host.crew(steps),
    )


def _rejected(computed: Proposal) -> JobOutcome:
    return JobOutcome(status=JobStatus.REJECTED, report=computed.report)

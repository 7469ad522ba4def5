"""What becomes of a proposal: it is published, as it was kept or computed anew, or it is dropped."""

from __future__ import annotations

import logging
from dataclasses import replace

from app.domain.contract import Drop, EditBatch, JobOutcome, JobStatus, Publish
from app.domain.errors import OwnProposal, UnknownProposal
from app.domain.log.pages import ProposalPage
from app.domain.log.proposed_version import ProposedVersion
from workers.host.model_host import ModelHost
from workers.host.turn import Turn
from workers.host.work.base import Work
from workers.host.work.edit import edited
from workers.steps import Steps

logger = logging.getLogger(__name__)


class PublishProposal(Work):
    """A proposal becomes the newest version.

    Computed on the version in service, it is committed byte for byte. Else its facts are computed, measured and
    verified anew, and it is rejected if one that it wrote does not hold any more; it then waits on.
    """

    def done(self, host: ModelHost, turn: Turn) -> JobOutcome | None:
        """The outcome of an earlier delivery that committed; it may have died before it removed the proposal."""
        if (outcome := super().done(host, turn)) is not None:
            host.discard(_published(turn))
        return outcome

    def do(self, host: ModelHost, turn: Turn, steps: Steps) -> JobOutcome:
        """Commit it and put it in service.

        Raises:
            UnknownProposal: it was published, dropped, or has expired.
            OwnProposal: who asks is who proposed it.
            DamagedVersion: it does not have the bytes that were written.
        """
        page = host.log.proposals.get(_published(turn))
        if turn.by is not None and turn.by == page.by:
            raise OwnProposal(f"{page.id} is to be published by another key than that which proposed it", value=page.id)
        proposal = ProposedVersion(host.log, page)
        upcoming = replace(host.next_version(turn, page.id), by=page.by, approved_by=turn.by)
        if proposal.on_head:
            outcome = host.serve(host.kept(proposal, upcoming), steps)
        else:
            outcome = edited(host, _anew(page), upcoming, steps)
        if outcome.status is JobStatus.SUCCEEDED:
            host.discard(page.id)
        return outcome.model_copy(update={"proposal": page.id})


class DropProposal(Work):
    """A proposal is thrown away: that has happened if, and only if, it is gone."""

    def do(self, host: ModelHost, turn: Turn, steps: Steps) -> JobOutcome:
        """Remove it; one that has gone meanwhile is dropped.

        Raises:
            UnknownProposal: it was published. JobFailed: it could not be removed.
        """
        assert isinstance(turn.request, Drop)
        proposal, proposals = turn.request.drop, host.log.proposals
        if (version := proposals.published_as(proposal)) is not None:
            raise UnknownProposal(f"{proposal} was published as version {version}", field="proposal", value=proposal)
        steps.check()
        try:
            host.log.drop(proposal, host.epoch)
        except Exception:  # whatever it is: the caller is told that it stays only if it does
            if proposals.lies(proposal):
                raise
            logger.exception("%s is gone, and what was left of it is not", proposal, extra={"job_id": turn.job_id})
        return JobOutcome(status=JobStatus.SUCCEEDED, proposal=proposal)


def _published(turn: Turn) -> str:
    assert isinstance(turn.request, Publish)
    return turn.request.publish


def _anew(page: ProposalPage) -> EditBatch:
    """What the proposal wrote, to be written once more: all of it, or nothing."""
    batch, report = page.batch, page.draft.report
    assert report is not None
    return batch.model_copy(
        update={
            "facts": tuple(batch.facts[fact.index] for fact in report.facts if fact.written),
            "method": page.draft.method,
            "plan": page.draft.plan,
            "unheld": "reject" if batch.unheld == "drop" else batch.unheld,
            "propose": False,
        }
    )

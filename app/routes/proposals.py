"""Edits that wait for approval: what they are, and how they are published or dropped."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response, status

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import AcceptanceDep, LogDep
from app.domain.contract import Drop, Job, Proposal, ProposalId, ProposalList, Publish
from app.domain.errors import DamagedVersion, OwnProposal, UnknownModel, UnknownProposal
from app.domain.log.pages import ProposalPage
from app.domain.log.proposed_version import ProposedVersion
from app.domain.log.reader import LogReader
from app.error_handlers import problems
from app.routes.changes import ANY_CHANGE, EARLIER_TENSORS, ConditionsDep, ModelPath, followed

router = APIRouter(tags=["proposals"], dependencies=[requires(Scope.QUERY)])

ProposalPath = Annotated[ProposalId, Path()]


@router.get("/models/{model}/proposals", responses=problems(DamagedVersion, UnknownModel))
def list_proposals(log: LogDep) -> ProposalList:
    """The edits that wait to be published or dropped, oldest first, without their reports."""
    found = (_told(log, page).model_copy(update={"report": None}) for page in log.proposals.waiting())
    return ProposalList(model=log.model, proposals=tuple(found))


@router.get("/models/{model}/proposals/{proposal}", responses=problems(DamagedVersion, UnknownModel, UnknownProposal))
def show_proposal(log: LogDep, proposal: ProposalPath) -> Proposal:
    """One of them, with its report; ``POST /query`` asks it, with its id as the `version`."""
    return _told(log, log.proposals.get(proposal))


@router.post(
    "/models/{model}/proposals/{proposal}/publish",
    status_code=status.HTTP_202_ACCEPTED,
    dependencies=[requires(Scope.PUBLISH)],
    responses=problems(DamagedVersion, OwnProposal, UnknownProposal, *EARLIER_TENSORS),
)
def publish_proposal(
    model: ModelPath,
    proposal: ProposalPath,
    acceptance: AcceptanceDep,
    conditions: ConditionsDep,
    response: Response,
) -> Job:
    """Make a proposal the newest version: byte for byte, if the model is still at the version it was computed on.

    If not, its facts are computed, measured and verified anew, and the job is rejected if one of them does not hold any
    more; the proposal then waits on. With that version as `If-Match`, nothing but what was proposed is published.
    """
    return followed(acceptance.accept(Publish(publish=proposal), conditions, model), response)


@router.post(
    "/models/{model}/proposals/{proposal}/drop",
    status_code=status.HTTP_202_ACCEPTED,
    dependencies=[requires(Scope.PUBLISH)],
    responses=problems(UnknownProposal, *ANY_CHANGE),
)
def drop_proposal(
    model: ModelPath,
    proposal: ProposalPath,
    acceptance: AcceptanceDep,
    conditions: ConditionsDep,
    response: Response,
) -> Job:
    """Throw a proposal away. The model stays as it is."""
    return followed(acceptance.accept(Drop(drop=proposal), conditions, model), response)


def _told(log: LogReader, page: ProposalPage) -> Proposal:
    return Proposal(
        id=page.id,
        name=f"{log.model}@{page.id}",
        model=log.model,
        job=page.draft.job or "",
        by=page.by,
        version=page.draft.version - 1,
        current=ProposedVersion(log, page).on_head,
        facts=len(page.draft.facts),
        created=page.created,
        expires=page.expires,
        bytes=sum(record.size for record in page.files.values()),
        report=page.draft.report,
    )

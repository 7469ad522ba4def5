"""Going back to an earlier version, and taking facts out while later ones stay."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response, status

from app.dependencies import AcceptanceDep
from app.domain.contract import Job, JobId, Name
from app.domain.errors import (
    CompactedVersion,
    Conflict,
    IdempotencyKeyReused,
    InseparableFacts,
    ModelUnavailable,
    PreconditionFailed,
    RequestInFlight,
    Unavailable,
    UnknownFact,
    UnknownJob,
    UnknownModel,
    UnknownVersion,
)
from app.domain.version_views import Revert, Rollback
from app.error_handlers import problems
from app.routes.edits import ConditionHeader, KeyHeader, bare, followed

router = APIRouter(tags=["models"])

ModelPath = Annotated[Name, Path()]
ANY_JOB = (
    CompactedVersion,
    IdempotencyKeyReused,
    ModelUnavailable,
    PreconditionFailed,
    RequestInFlight,
    Unavailable,
    UnknownModel,
)


@router.post(
    "/models/{model}/rollback",
    status_code=status.HTTP_202_ACCEPTED,
    responses=problems(UnknownVersion, *ANY_JOB),
)
def roll_back(
    model: ModelPath,
    rollback: Rollback,
    acceptance: AcceptanceDep,
    response: Response,
    idempotency_key: KeyHeader = None,
    if_match: ConditionHeader = None,
) -> Job:
    """Make an earlier version the newest one, again: its weights bit for bit, its previous keys, its facts in force.

    History only grows: this is a new version, and what lies between stays readable and can be gone back to.
    """
    return followed(acceptance.take_back(model, rollback, bare(idempotency_key), if_match), response)


@router.post(
    "/models/{model}/revert",
    status_code=status.HTTP_202_ACCEPTED,
    responses=problems(InseparableFacts, UnknownFact, *ANY_JOB),
)
def revert_facts(
    model: ModelPath,
    revert: Revert,
    acceptance: AcceptanceDep,
    response: Response,
    idempotency_key: KeyHeader = None,
    if_match: ConditionHeader = None,
) -> Job:
    """Take facts out while later ones stay: the weights are summed anew without them.

    A fact that one of them had superseded is in force again. The job's `in_force` says how the others stand.
    """
    return followed(acceptance.take_back(model, revert, bare(idempotency_key), if_match), response)


@router.delete(
    "/edits/{job}",
    status_code=status.HTTP_202_ACCEPTED,
    tags=["edits"],
    responses=problems(Conflict, InseparableFacts, UnknownFact, UnknownJob, *ANY_JOB),
)
def revert_edit(
    job: JobId,
    acceptance: AcceptanceDep,
    response: Response,
    idempotency_key: KeyHeader = None,
    if_match: ConditionHeader = None,
) -> Job:
    """Take out what is left of an earlier edit: all its facts that were not taken out before, as a revert does.

    The answer is the revert's job; its `facts` says how many they are.
    """
    return followed(acceptance.take_out(job, bare(idempotency_key), if_match), response)

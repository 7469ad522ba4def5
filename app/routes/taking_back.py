"""Going back to an earlier version, and taking facts out while later ones stay."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Response, status

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import AcceptanceDep
from app.domain.contract import Job, JobId, Revert, Rollback
from app.domain.errors import Conflict, InseparableFacts, UnknownFact, UnknownJob, UnknownVersion
from app.error_handlers import problems
from app.routes import examples
from app.routes.changes import EARLIER_TENSORS, ConditionsDep, ModelPath, followed

router = APIRouter(tags=["models"], dependencies=[requires(Scope.PUBLISH)])


@router.post(
    "/models/{model}/rollback",
    status_code=status.HTTP_202_ACCEPTED,
    responses=problems(UnknownVersion, *EARLIER_TENSORS),
)
def roll_back(
    model: ModelPath,
    rollback: Annotated[Rollback, Body(openapi_examples=examples.ROLLBACKS)],
    acceptance: AcceptanceDep,
    conditions: ConditionsDep,
    response: Response,
) -> Job:
    """Make an earlier version the newest one, again: its weights bit for bit, its previous keys, its facts in force.

    History only grows: this is a new version, and what lies between stays readable and can be gone back to.
    """
    return followed(acceptance.accept(rollback, conditions, model), response)


@router.post(
    "/models/{model}/revert",
    status_code=status.HTTP_202_ACCEPTED,
    responses=problems(InseparableFacts, UnknownFact, *EARLIER_TENSORS),
)
def revert_facts(
    model: ModelPath,
    revert: Annotated[Revert, Body(openapi_examples=examples.REVERTS)],
    acceptance: AcceptanceDep,
    conditions: ConditionsDep,
    response: Response,
) -> Job:
    """Take facts out while later ones stay: the weights are summed anew without them.

    A fact that one of them had superseded is in force again. The job's `in_force` says how the others stand.
    """
    return followed(acceptance.accept(revert, conditions, model), response)


@router.delete(
    "/edits/{job}",
    status_code=status.HTTP_202_ACCEPTED,
    tags=["edits"],
    responses=problems(Conflict, InseparableFacts, UnknownFact, UnknownJob, *EARLIER_TENSORS),
)
def revert_edit(
    job: JobId,
    acceptance: AcceptanceDep,
    conditions: ConditionsDep,
    response: Response,
) -> Job:
    """Take out what is left of an earlier edit: all its facts that were not taken out before, as a revert does.

    The answer is the revert's job; its `facts` says how many they are.
    """
    return followed(acceptance.take_out(job, conditions), response)

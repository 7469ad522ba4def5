"""Edits: a batch of facts is queued as a job."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Response, status

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import AcceptanceDep
from app.domain.contract import EditBatch, Job
from app.domain.errors import (
    AmbiguousSubject,
    ContradictoryFacts,
    EmptyText,
    InvalidHyperparameter,
    LayerOutOfRange,
    PromptTooLong,
    SlotCount,
    SubjectNotInPrompt,
    TooManyFacts,
    TooManyProposals,
    UnknownMethod,
    UnknownPlan,
)
from app.error_handlers import problems
from app.routes import examples
from app.routes.changes import ANY_CHANGE, ConditionsDep, followed

router = APIRouter(tags=["edits"], dependencies=[requires(Scope.EDIT)])

REFUSALS = problems(
    AmbiguousSubject,
    ContradictoryFacts,
    EmptyText,
    InvalidHyperparameter,
    LayerOutOfRange,
    PromptTooLong,
    SlotCount,
    SubjectNotInPrompt,
    TooManyFacts,
    TooManyProposals,
    UnknownMethod,
    UnknownPlan,
    *ANY_CHANGE,
)


@router.post("/edits", status_code=status.HTTP_202_ACCEPTED, responses=REFUSALS)
def submit_edits(
    batch: Annotated[EditBatch, Body(openapi_examples=examples.EDITS)],
    acceptance: AcceptanceDep,
    conditions: ConditionsDep,
    response: Response,
) -> Job:
    """Queue a batch of facts; its job says what became of it.

    A worker checks the batch in full first, so that an accepted batch can be applied. What was accepted is on disk: it
    is applied once, or its job says why not, even if Redis loses all its data. With `propose`, or from a
    key without the scope `publish`, it waits for approval.
    """
    return followed(acceptance.accept(batch, conditions), response)

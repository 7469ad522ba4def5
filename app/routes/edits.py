"""Facts in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response, status

from app.dependencies import AcceptanceDep
from app.domain.contract import EditBatch, Job
from app.domain.errors import (
    AmbiguousSubject,
    BodyTooLarge,
    ContradictoryFacts,
    EmptyText,
    IdempotencyKeyReused,
    InvalidHyperparameter,
    LayerOutOfRange,
    ModelUnavailable,
    PreconditionFailed,
    PromptTooLong,
    RequestInFlight,
    SlotCount,
    SubjectNotInPrompt,
    TooManyFacts,
    Unavailable,
    UnknownMethod,
    UnknownModel,
    UnknownPlan,
)
from app.entity_tags import IF_MATCH
from app.error_handlers import problems
from app.idempotency import HEADER

router = APIRouter(tags=["edits"])

POLL_AFTER_S = 1

REFUSALS = problems(
    AmbiguousSubject,
    BodyTooLarge,
    ContradictoryFacts,
    EmptyText,
    IdempotencyKeyReused,
    InvalidHyperparameter,
    LayerOutOfRange,
    ModelUnavailable,
    PreconditionFailed,
    PromptTooLong,
    RequestInFlight,
    SlotCount,
    SubjectNotInPrompt,
    TooManyFacts,
    Unavailable,
    UnknownMethod,
    UnknownModel,
    UnknownPlan,
)


KeyHeader = Annotated[
    str | None,
    Header(
        alias=HEADER,
        pattern=r'^("[\x20\x21\x23-\x7e]+"|[\x21\x23-\x7e]+)$',
        max_length=200,
        description="A key of your choice, quoted or not, so that the request can be sent again: the same body gets "
        "the same job. Remembered for a day by default; a job that committed a version answers to it for ever.",
    ),
]
ConditionHeader = Annotated[
    str | None,
    Header(
        alias=IF_MATCH,
        description="A version in quotes, as `ETag` has it. Unless the model is at it, both now and when the job's "
        "turn comes, nothing happens.",
    ),
]


@router.post("/edits", status_code=status.HTTP_202_ACCEPTED, responses=REFUSALS)
def submit_edits(
    batch: EditBatch,
    acceptance: AcceptanceDep,
    response: Response,
    idempotency_key: KeyHeader = None,
    if_match: ConditionHeader = None,
) -> Job:
    """Queue a batch of facts; its job says what became of it.

    A worker checks the batch in full first, so that an accepted batch can be applied. What was accepted is on disk: it
    is applied once, or its job says why not, even if Redis loses all its data.
    """
    return followed(acceptance.accept(batch, bare(idempotency_key), if_match), response)


def bare(key: str | None) -> str | None:
    """An idempotency key without its quotes."""
    return None if key is None else key.strip('"')


def followed(job: Job, response: Response) -> Job:
    """The job, with headers that say where to follow it."""
    response.headers["Location"] = f"/jobs/{job.id}"
    response.headers["Retry-After"] = str(POLL_AFTER_S)
    return job

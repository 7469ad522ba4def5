"""Facts in."""

from __future__ import annotations

from fastapi import APIRouter, Response, status

from app.dependencies import FleetDep, JobsDep, SettingsDep
from app.domain.contract import EditBatch, Job
from app.domain.errors import (
    AmbiguousSubject,
    BodyTooLarge,
    EmptyText,
    InvalidHyperparameter,
    LayerOutOfRange,
    ModelUnavailable,
    PromptTooLong,
    SlotCount,
    SubjectNotInPrompt,
    TooManyFacts,
    Unavailable,
    UnknownMethod,
    UnknownModel,
    UnknownPlan,
)
from app.error_handlers import problems

router = APIRouter(tags=["edits"])

POLL_AFTER_S = 1

REFUSALS = problems(
    AmbiguousSubject,
    BodyTooLarge,
    EmptyText,
    InvalidHyperparameter,
    LayerOutOfRange,
    ModelUnavailable,
    PromptTooLong,
    SlotCount,
    SubjectNotInPrompt,
    TooManyFacts,
    Unavailable,
    UnknownMethod,
    UnknownModel,
    UnknownPlan,
)


@router.post("/edits", status_code=status.HTTP_202_ACCEPTED, responses=REFUSALS)
def submit_edits(batch: EditBatch, jobs: JobsDep, fleet: FleetDep, settings: SettingsDep, response: Response) -> Job:
    """Queue a batch of facts; its job says what became of it.

    A worker checks the batch in full first, so that an accepted batch can be applied.
    """
    if len(batch.facts) > settings.max_facts:
        detail = f"A batch may have at most {settings.max_facts} facts."
        raise TooManyFacts(detail, field="facts", value=len(batch.facts))
    model = fleet.resolve(batch.model)
    named = batch.model_copy(update={"model": model})
    fleet.check(model, named)
    job = jobs.submit(model, named)
    response.headers["Location"] = f"/jobs/{job.id}"
    response.headers["Retry-After"] = str(POLL_AFTER_S)
    return job

"""Versions out: written down as files for others to load."""

from __future__ import annotations

from fastapi import APIRouter, Response, status

from app.dependencies import AcceptanceDep
from app.domain.contract import Export, Job
from app.domain.errors import UnknownVersion
from app.error_handlers import problems
from app.routes.edits import ConditionHeader, KeyHeader, bare, followed
from app.routes.taking_back import ANY_JOB, ModelPath

router = APIRouter(tags=["models"])


@router.post(
    "/models/{model}/exports",
    status_code=status.HTTP_202_ACCEPTED,
    responses=problems(UnknownVersion, *ANY_JOB),
)
def export_version(
    model: ModelPath,
    export: Export,
    acceptance: AcceptanceDep,
    response: Response,
    idempotency_key: KeyHeader = None,
    if_match: ConditionHeader = None,
) -> Job:
    """Write a version down: a whole model (`merged`), an adapter for the base model (`peft`), or the bare `updates`.

    It takes its turn among the model's edits, makes no version, and is loaded again and compared before it is finished.
    The worker writes it under its own data directory; the job's `exported` says where, and how it compares.
    """
    return followed(acceptance.export(model, export, bare(idempotency_key), if_match), response)

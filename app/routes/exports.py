"""Exports: a version is written as files that other programs can load."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Response, status

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import AcceptanceDep
from app.domain.contract import Export, Job
from app.domain.errors import NoGgufFile, UnknownVersion
from app.error_handlers import problems
from app.routes import examples
from app.routes.changes import EARLIER_TENSORS, ConditionsDep, ModelPath, followed

router = APIRouter(tags=["models"], dependencies=[requires(Scope.ADMIN)])


@router.post(
    "/models/{model}/exports",
    status_code=status.HTTP_202_ACCEPTED,
    responses=problems(UnknownVersion, NoGgufFile, *EARLIER_TENSORS),
)
def export_version(
    model: ModelPath,
    export: Annotated[Export, Body(openapi_examples=examples.EXPORTS)],
    acceptance: AcceptanceDep,
    conditions: ConditionsDep,
    response: Response,
) -> Job:
    """Write a version down: a whole model (`merged`), an adapter for the base model (`peft`), or the bare `updates`.

    For llama.cpp and Ollama: a whole file (`gguf`), of a model that came as one, or an adapter (`gguf-lora`).

    The job takes its turn among the model's jobs, notes the version in service then, and runs beside the edits that
    follow. It makes no version; what it wrote is loaded again and compared before it is finished. The worker writes
    under its own data directory; the job's `exported` says where, and how the export compares.
    """
    return followed(acceptance.accept(export, conditions, model), response)

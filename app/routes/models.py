"""The models that are served, and those that were served and still have an edit log; adding and taking away."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Response, status

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import AdditionsDep, FleetDep, LogsDep
from app.domain.contract import AddModel, Job, ModelList, ModelView, WorkerCard
from app.domain.errors import BodyTooLarge, Conflict, ModelExists, NotSupervised, Unavailable, UnknownModel
from app.edit_logs import EditLogs
from app.error_handlers import problems
from app.routes import examples
from app.routes.changes import ModelPath, followed

router = APIRouter(tags=["models"], dependencies=[requires(Scope.QUERY)])


@router.get("/models", responses=problems())
def list_models(fleet: FleetDep, logs: LogsDep) -> ModelList:
    """All models that are live or have an edit log, with their newest version and their live workers."""
    workers = fleet.workers()
    names = sorted({*logs.models(), *(card.model for card in workers)})
    return ModelList(models=tuple(_view(name, workers, logs) for name in names))


@router.post(
    "/models",
    status_code=status.HTTP_202_ACCEPTED,
    dependencies=[requires(Scope.ADMIN, all_models=True)],
    responses=problems(BodyTooLarge, ModelExists, NotSupervised, Unavailable),
)
def add_model(
    wanted: Annotated[AddModel, Body(openapi_examples=examples.ADDITIONS)], additions: AdditionsDep, response: Response
) -> Job:
    """Serve one more model, also after a restart. Its job tells how its onboarding goes on, and ends when it answers.

    Only where `palimpsest serve` runs the service; elsewhere whoever runs the workers starts one more.
    """
    return followed(additions.add(wanted), response)


@router.delete(
    "/models/{model}",
    status_code=status.HTTP_204_NO_CONTENT,
    dependencies=[requires(Scope.ADMIN, all_models=True)],
    responses=problems(Conflict, NotSupervised, UnknownModel),
)
def remove_model(model: ModelPath, additions: AdditionsDep) -> None:
    """Serve a model no longer that was added; its workers end within seconds.

    Its edit log stays: added again under this name, it is at the version that it was at, and does the jobs that waited.
    """
    additions.remove(model)


def _view(model: str, workers: list[WorkerCard], logs: EditLogs) -> ModelView:
    own = tuple(card for card in workers if card.model == model)
    versions = [log.head()] if (log := logs.of(model)).exists() else [card.version for card in own]
    return ModelView(id=model, version=max(versions), live=bool(own), workers=own)

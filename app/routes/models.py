"""The models that are served, and those that were served and still have an edit log."""

from __future__ import annotations

from fastapi import APIRouter

from app.access.caller import Scope
from app.access.requires import requires
from app.dependencies import FleetDep, LogsDep
from app.domain.contract import ModelList, ModelView, WorkerCard
from app.edit_logs import EditLogs
from app.error_handlers import problems

router = APIRouter(tags=["models"], dependencies=[requires(Scope.QUERY)])


@router.get("/models", responses=problems())
def list_models(fleet: FleetDep, logs: LogsDep) -> ModelList:
    """All models that are live or have an edit log, with their newest version and their live workers."""
    workers = fleet.workers()
    names = sorted({*logs.models(), *(card.model for card in workers)})
    return ModelList(models=tuple(_view(name, workers, logs) for name in names))


def _view(model: str, workers: list[WorkerCard], logs: EditLogs) -> ModelView:
    own = tuple(card for card in workers if card.model == model)
    versions = [log.head()] if (log := logs.of(model)).exists() else [card.version for card in own]
    return ModelView(id=model, version=max(versions), live=bool(own), workers=own)

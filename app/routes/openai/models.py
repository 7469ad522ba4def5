"""GET /v1/models: what can be named in a request."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path

from app.dependencies import FleetDep, LogsDep
from app.domain.contract import WorkerCard
from app.domain.errors import (
    DamagedVersion,
    ModelUnavailable,
    NotFound,
    UnknownAlias,
    UnknownModel,
    UnknownProposal,
    UnknownVersion,
)
from app.edit_logs import EditLogs
from app.routes.openai.model_names import ModelName, version_name
from app.routes.openai.refusals import refusals
from app.routes.openai.replies import ModelObject, ModelObjects

router = APIRouter()


@router.get("/models", responses=refusals())
def list_served_models(fleet: FleetDep, logs: LogsDep) -> ModelObjects:
    """The models that are served now; any version of one can be asked as `name@version` or `name@alias`."""
    return ModelObjects(data=tuple(_served(cards, logs) for cards in _by_model(fleet.workers()).values()))


@router.get(
    "/models/{model}",
    responses=refusals(DamagedVersion, ModelUnavailable, UnknownAlias, UnknownModel, UnknownProposal, UnknownVersion),
)
def show_served_model(model: Annotated[str, Path(max_length=200)], fleet: FleetDep, logs: LogsDep) -> ModelObject:
    """A model that is served, or one version of it; an alias is answered with the version that it points to."""
    wanted = ModelName.of(model)
    served = _served(fleet.workers(fleet.resolve(wanted.name)), logs)
    version = logs.pinned(wanted.name, wanted.version)
    if version is None:
        return served
    created = served.created
    if isinstance(version, str):
        created = _seconds(logs.of(wanted.name).proposals.get(version).created)
    elif version:
        created = _seconds(logs.of(wanted.name).manifest(version).created)
    return ModelObject(id=version_name(wanted.name, version), created=created, version=version)


def _by_model(cards: list[WorkerCard]) -> dict[str, list[WorkerCard]]:
    found: dict[str, list[WorkerCard]] = {}
    for card in cards:
        found.setdefault(card.model, []).append(card)
    return found


def _served(cards: list[WorkerCard], logs: EditLogs) -> ModelObject:
    model = cards[0].model
    try:
        created = logs.of(model).base().created
    except NotFound:  # a log that only the workers can see
        created = min(card.started for card in cards)
    return ModelObject(id=model, created=_seconds(created), version=max(card.version for card in cards))


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())

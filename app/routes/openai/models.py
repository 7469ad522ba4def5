"""GET /v1/models: what can be named in a request."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path

from app.dependencies import FleetDep, LogsDep
from app.domain.contract import AnyVersion, WorkerCard
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
    """The models that are served now, and their aliases; any version of one can be asked as `name@version`."""
    found: list[ModelObject] = []
    for model, cards in _by_model(fleet.workers()).items():
        found += [_served(cards, logs), *_aliased(model, logs)]
    return ModelObjects(data=tuple(found))


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
    created = _created(wanted.name, version, logs) if version else served.created
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


def _aliased(model: str, logs: EditLogs) -> Iterator[ModelObject]:
    """What its aliases point to, under their names; one that cannot be followed is left out, and asked it says why."""
    aliases = logs.of(model).aliases
    for name in aliases.names():
        try:
            version = aliases.version(name)
            created = _created(model, version, logs)
        except (DamagedVersion, UnknownAlias, UnknownVersion):
            continue
        yield ModelObject(id=version_name(model, name), created=created, version=version)


def _created(model: str, version: AnyVersion, logs: EditLogs) -> int:
    """When a version, or a proposal, was first written."""
    log = logs.of(model)
    if isinstance(version, str):
        return _seconds(log.proposals.get(version).created)
    return _seconds(log.outline(version).created if version else log.base().created)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())

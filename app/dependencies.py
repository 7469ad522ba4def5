"""What the routes are given, as ``Annotated`` aliases. The lifespan in ``app.main`` makes it all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request

from app.domain.contract import Name
from app.domain.errors import UnknownModel
from app.domain.log.reader import LogReader
from app.edit_logs import EditLogs
from app.fleet import Fleet
from app.jobs.acceptance import Acceptance
from app.jobs.jobs import Jobs
from app.metrics import Metrics
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class House:
    """What one application holds from its start to its end."""

    settings: Settings
    metrics: Metrics
    logs: EditLogs
    jobs: Jobs
    fleet: Fleet
    acceptance: Acceptance


def _house(request: Request) -> House:
    house: House = request.state.house
    return house


HouseDep = Annotated[House, Depends(_house)]


def _log(model: Annotated[Name, Path()], house: HouseDep) -> LogReader:
    log = house.logs.of(model)
    if not log.exists():
        raise UnknownModel(f"No model {model} has an edit log here.", field="model", value=model)
    return log


def _metrics(house: HouseDep) -> Metrics:
    return house.metrics


def _logs(house: HouseDep) -> EditLogs:
    return house.logs


def _jobs(house: HouseDep) -> Jobs:
    return house.jobs


def _fleet(house: HouseDep) -> Fleet:
    return house.fleet


def _acceptance(house: HouseDep) -> Acceptance:
    return house.acceptance


MetricsDep = Annotated[Metrics, Depends(_metrics)]
LogsDep = Annotated[EditLogs, Depends(_logs)]
LogDep = Annotated[LogReader, Depends(_log)]
"""The edit log of the model in the path."""
JobsDep = Annotated[Jobs, Depends(_jobs)]
FleetDep = Annotated[Fleet, Depends(_fleet)]
AcceptanceDep = Annotated[Acceptance, Depends(_acceptance)]

"""What the routes are given, as ``Annotated`` aliases. The lifespan in ``app.main`` makes it all.

What only hands something on is asynchronous: anything else would go through a thread at each request.
"""

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
from app.text_streams import TextStreams


@dataclass(frozen=True, slots=True)
class Services:
    """What one application holds from its start to its end."""

    metrics: Metrics
    logs: EditLogs
    jobs: Jobs
    fleet: Fleet
    acceptance: Acceptance
    texts: TextStreams


async def _services(request: Request) -> Services:
    services: Services = request.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]


def _log(model: Annotated[Name, Path()], services: ServicesDep) -> LogReader:
    log = services.logs.of(model)
    if not log.exists():
        raise UnknownModel(f"No model {model} has an edit log here.", field="model", value=model)
    return log


async def _metrics(services: ServicesDep) -> Metrics:
    return services.metrics


async def _logs(services: ServicesDep) -> EditLogs:
    return services.logs


async def _jobs(services: ServicesDep) -> Jobs:
    return services.jobs


async def _fleet(services: ServicesDep) -> Fleet:
    return services.fleet


async def _acceptance(services: ServicesDep) -> Acceptance:
    return services.acceptance


MetricsDep = Annotated[Metrics, Depends(_metrics)]
LogsDep = Annotated[EditLogs, Depends(_logs)]
LogDep = Annotated[LogReader, Depends(_log)]
"""The edit log of the model in the path."""
JobsDep = Annotated[Jobs, Depends(_jobs)]
FleetDep = Annotated[Fleet, Depends(_fleet)]
AcceptanceDep = Annotated[Acceptance, Depends(_acceptance)]

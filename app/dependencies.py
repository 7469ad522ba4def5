"""What the routes are given, as ``Annotated`` aliases. The lifespan in ``app.main`` makes it all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request
from starlette.concurrency import run_in_threadpool

from app.domain.contract import Name
from app.domain.errors import UnknownModel
from app.domain.log.reader import LogReader
from app.edit_logs import EditLogs
from app.fleet import Fleet
from app.jobs.acceptance import Acceptance
from app.jobs.job_watch import JobWatch
from app.jobs.jobs import Jobs
from app.metrics import Metrics
from app.rate_limit import RateLimit


@dataclass(frozen=True, slots=True)
class Services:
    """What one application holds from its start to its end."""

    metrics: Metrics
    logs: EditLogs
    jobs: Jobs
    watch: JobWatch
    fleet: Fleet
    acceptance: Acceptance
    rate: RateLimit


def _services(request: Request) -> Services:
    services: Services = request.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]


OPEN_PATHS = ("/healthz", "/readyz", "/metrics")
"""Paths of probes, which are not counted."""


async def within_rate(request: Request, services: ServicesDep) -> None:
    """Count the request for its caller.

    Raises:
        TooManyRequests: it is one too many.
    """
    if services.rate.on and request.url.path not in OPEN_PATHS:
        await run_in_threadpool(services.rate.count, _caller(request))


def _caller(request: Request) -> str:
    """Whose request it is: the name of the caller that was found out before, else the address that it came from."""
    if caller := getattr(request.state, "caller", None):
        return f"key {caller.name}"
    return f"address {request.client.host if request.client else '?'}"


def _log(model: Annotated[Name, Path()], services: ServicesDep) -> LogReader:
    log = services.logs.of(model)
    if not log.exists():
        raise UnknownModel(f"No model {model} has an edit log here.", field="model", value=model)
    return log


def _metrics(services: ServicesDep) -> Metrics:
    return services.metrics


def _logs(services: ServicesDep) -> EditLogs:
    return services.logs


def _jobs(services: ServicesDep) -> Jobs:
    return services.jobs


def _watch(services: ServicesDep) -> JobWatch:
    return services.watch


def _fleet(services: ServicesDep) -> Fleet:
    return services.fleet


def _acceptance(services: ServicesDep) -> Acceptance:
    return services.acceptance


MetricsDep = Annotated[Metrics, Depends(_metrics)]
LogsDep = Annotated[EditLogs, Depends(_logs)]
LogDep = Annotated[LogReader, Depends(_log)]
"""The edit log of the model in the path."""
JobsDep = Annotated[Jobs, Depends(_jobs)]
WatchDep = Annotated[JobWatch, Depends(_watch)]
FleetDep = Annotated[Fleet, Depends(_fleet)]
AcceptanceDep = Annotated[Acceptance, Depends(_acceptance)]

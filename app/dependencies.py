"""What the routes are given, as ``Annotated`` aliases. The lifespan in ``app.main`` makes it all.

What only hands something on is asynchronous: anything else would go through a thread at each request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request
from starlette.concurrency import run_in_threadpool

from app.access.caller import ANYONE, Caller
from app.access.gate import CALLER
from app.access.requires import caller_of
from app.additions.additions import Additions
from app.aliases import Aliases
from app.domain.contract import Name
from app.domain.errors import UnknownModel
from app.domain.log.reader import LogReader
from app.edit_logs import EditLogs
from app.engine_fleet import EngineFleet
from app.fleet import Fleet
from app.jobs.acceptance import Acceptance
from app.jobs.importing import Importing
from app.jobs.job_watch import JobWatch
from app.jobs.jobs import Jobs
from app.metrics import Metrics
from app.promotion import Promotion
from app.rate_limit import RateLimit
from app.texts.pass_through import PassThrough
from app.texts.text_streams import TextStreams


@dataclass(frozen=True, slots=True)
class Services:
    """What one application holds from its start to its end; or the same, as one caller sees it."""

    metrics: Metrics
    logs: EditLogs
    jobs: Jobs
    watch: JobWatch
    fleet: Fleet
    acceptance: Acceptance
    texts: TextStreams
    additions: Additions
    importing: Importing
    rate: RateLimit
    engines: EngineFleet
    promotion: Promotion
    passing: PassThrough | None

    def seen_by(self, caller: Caller) -> Services:
        """All of it for a caller, for whom only the models of their key exist, and in whose name jobs are accepted.

        Texts are asked of a model that the fleet has found for the caller. For anyone it is as it was made.
        """
        if caller is ANYONE:
            return self
        return Services(
            self.metrics,
            self.logs.seen_by(caller),
            self.jobs.seen_by(caller),
            self.watch,
            self.fleet.seen_by(caller),
            self.acceptance.seen_by(caller),
            self.texts,
            self.additions,
            self.importing.seen_by(caller),
            self.rate,
            self.engines.seen_by(caller),
            self.promotion,
            self.passing,
        )


async def _caller(request: Request) -> Caller:
    return caller_of(request)


async def _services(request: Request) -> Services:
    """What the route works with. Only open routes have no caller; they may tell nothing of any model."""
    services: Services = request.state.services
    return services.seen_by(caller_of(request)) if hasattr(request.state, CALLER) else services


CallerDep = Annotated[Caller, Depends(_caller)]
"""Who sends the request."""
ServicesDep = Annotated[Services, Depends(_services)]


OPEN_PATHS = ("/healthz", "/readyz", "/metrics")
"""Paths of probes, which are not counted."""


async def within_rate(request: Request) -> None:
    """Count the request for its caller.

    Raises:
        TooManyRequests: it is one too many.
    """
    services: Services = request.state.services
    if services.rate.on and request.url.path not in OPEN_PATHS:
        await run_in_threadpool(services.rate.count, counted_as(request))


def counted_as(request: Request) -> str:
    """Whose request it is: the name of the caller's key, else the address that it came from."""
    if (caller := getattr(request.state, CALLER, None)) is not None and caller.by is not None:
        return f"key {caller.by}"
    return f"address {request.client.host if request.client else '?'}"


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


async def _watch(services: ServicesDep) -> JobWatch:
    return services.watch


async def _fleet(services: ServicesDep) -> Fleet:
    return services.fleet


async def _engines(services: ServicesDep) -> EngineFleet:
    return services.engines


async def _acceptance(services: ServicesDep) -> Acceptance:
    return services.acceptance


async def _additions(services: ServicesDep) -> Additions:
    return services.additions


async def _importing(services: ServicesDep) -> Importing:
    return services.importing


MetricsDep = Annotated[Metrics, Depends(_metrics)]
LogsDep = Annotated[EditLogs, Depends(_logs)]
LogDep = Annotated[LogReader, Depends(_log)]
"""The edit log of the model in the path."""
JobsDep = Annotated[Jobs, Depends(_jobs)]
WatchDep = Annotated[JobWatch, Depends(_watch)]
FleetDep = Annotated[Fleet, Depends(_fleet)]
EnginesDep = Annotated[EngineFleet, Depends(_engines)]
AcceptanceDep = Annotated[Acceptance, Depends(_acceptance)]
AdditionsDep = Annotated[Additions, Depends(_additions)]
ImportingDep = Annotated[Importing, Depends(_importing)]


def _aliases(log: LogDep, services: ServicesDep, caller: CallerDep) -> Aliases:
    return Aliases(log, services.fleet, services.promotion, caller)


AliasesDep = Annotated[Aliases, Depends(_aliases)]
"""The aliases of the model in the path."""

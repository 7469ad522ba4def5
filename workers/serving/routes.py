"""The worker's endpoints: questions for its model, checks, state, health, metrics."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response, status

from app.domain import worker_http
from app.domain.contract import (
    Between,
    CheckedBatches,
    EditBatch,
    EditBatches,
    Generate,
    Health,
    Problem,
    Query,
    Question,
    Score,
    UpdateNorms,
    WorkerCard,
)
from app.domain.errors import PalimpsestError, RequestError, Unavailable
from app.domain.log.pages import MovePage
from app.domain.problems import problem_of
from workers.questions.scores import ScoreRequest
from workers.serving.dependencies import Held, Services, ServicesDep
from workers.serving.reaching import reached

router = APIRouter()


@router.post(worker_http.PROBE, response_model=None)
async def probe_prompts(query: Query, services: ServicesDep) -> Response:
    """Answer prompts from one version."""
    if not query.prompts:
        raise RequestError("a worker answers prompts, not jobs", field="job", value=query.job)
    return await _asked("probe", query, services)


@router.post(worker_http.GENERATE, response_model=None)
async def generate_freely(request: Generate, services: ServicesDep) -> Response:
    """Continue prompts from one version."""
    return await _asked("generate", request, services)


@router.post(worker_http.SCORES, response_model=None)
async def score_texts(request: Score, services: ServicesDep) -> Response:
    """Score texts token by token, from one version."""
    held_out = services.host.held_out[: request.held_out]
    if not request.texts and not held_out:
        raise RequestError("no texts are kept with this model", field="held_out", value=request.held_out)
    rows = ScoreRequest(request.texts, held_out, request.version)
    return await _answered("scores", request, rows, services)


@router.post(worker_http.CHECK, status_code=status.HTTP_204_NO_CONTENT)
def check(batch: EditBatch, services: ServicesDep) -> None:
    """Say whether the batch could be edited."""
    with services.metrics.question("check"):
        services.host.check(batch)


@router.post(worker_http.CHECKS)
def check_all(request: EditBatches, services: ServicesDep) -> CheckedBatches:
    """Say of each batch whether it could be edited."""
    with services.metrics.question("check"):
        return CheckedBatches(problems=tuple(_problem(services.host, batch) for batch in request.batches))


@router.post(worker_http.NORMS)
def compare(between: Between, services: ServicesDep) -> UpdateNorms:
    """How far two versions' weights are apart."""
    with services.metrics.question("norms"):
        return UpdateNorms(norms=services.host.update_norms(between.old, between.new))


@router.post(worker_http.ALIASES)
def move_alias(move: MovePage, services: ServicesDep) -> MovePage:
    """Write a move of an alias into the log, unless there is one of its number; tell which one stands."""
    return services.host.move_alias(move)


@router.get(worker_http.STATE)
def state(services: ServicesDep, response: Response) -> WorkerCard:
    """What this worker is and where it stands."""
    card = services.card()
    response.headers[worker_http.VERSION_HEADER] = str(card.version)
    return card


@router.get("/healthz")
async def healthz() -> Health:
    """The process answers, and its model is loaded; whatever else goes on, at once: the front end asks all the time."""
    return Health(status="ok")


@router.get("/readyz")
def readyz(services: ServicesDep) -> Health:
    """The model is at a version, and the edit log that it follows can be looked at.

    Raises:
        Unavailable: the log cannot be looked at.
    """
    card = services.card()
    if card.behind is None:
        raise Unavailable("the edit log cannot be looked at")
    return Health(status="ok", detail=f"version {card.version}")


@router.get("/metrics")
def exposition(services: ServicesDep) -> Response:
    """Prometheus' text format."""
    return Response(services.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _problem(host: Held, batch: EditBatch) -> Problem | None:
    try:
        host.check(batch)
    except PalimpsestError as error:
        return problem_of(error)
    return None


async def _asked(kind: str, request: Query | Generate, services: Services) -> Response:
    """The model's answer to a question, and the version that gave it."""
    return await _answered(kind, request, request, services)


async def _answered(
    kind: str, question: Question, request: Query | Generate | ScoreRequest, services: Services
) -> Response:
    """The answer to a request, once the version that the question wants is in service."""
    with services.metrics.question(kind):
        await reached(services.host, question)
        reply = await asyncio.wrap_future(services.batches.ask(request))
    headers = {worker_http.VERSION_HEADER: str(reply.version)}
    return Response(reply.model_dump_json(), headers=headers, media_type="application/json")

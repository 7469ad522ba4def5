"""The worker's own HTTP: questions for the live model, checks, state, health, metrics.

No access control: it is for the front end, on the loopback interface or a private network.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app.domain.contract import (
    EditBatch,
    Generate,
    GenerateReply,
    Health,
    Problem,
    Query,
    QueryReply,
    WorkerCard,
)
from app.domain.errors import EditError, RequestError
from app.domain.problems import problem_of
from workers.inference import Live, generate, probe
from workers.metrics import Metrics

VERSION_HEADER = "X-Model-Version"


class Questioned(Protocol):
    """Whoever holds the live model."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def version(self) -> int:
        """The version in service."""

    def questions(self) -> AbstractContextManager[Live]:
        """Hold one version still."""

    def check(self, batch: EditBatch) -> None:
        """Raise what is wrong with a batch."""


def create_server(
    host: Questioned,
    card: Callable[[], WorkerCard],
    metrics: Metrics,
    *,
    max_questions: int,
    max_batch_tokens: int,
) -> FastAPI:
    """The worker's application. At most ``max_questions`` run at the same time; the others wait."""
    server = FastAPI(title="palimpsest worker", openapi_url=None)
    places = threading.BoundedSemaphore(max_questions)
    _handle_errors(server)

    @server.post("/probe")
    def probe_prompts(query: Query, response: Response) -> QueryReply:
        """Answer prompts from one version."""
        if not query.prompts:
            raise RequestError("a worker answers prompts, not jobs", field="job", value=query.job)
        with metrics.question("probe"), places, host.questions() as live:
            answers = probe(live, query.prompts, max_batch_tokens)
            reply = QueryReply(model=host.name, version=live.version, answers=answers)
        response.headers[VERSION_HEADER] = str(reply.version)
        return reply

    @server.post("/generate")
    def generate_freely(request: Generate, response: Response) -> GenerateReply:
        """Continue prompts from one version."""
        with metrics.question("generate"), places, host.questions() as live:
            generations = generate(live, request, max_batch_tokens)
            reply = GenerateReply(model=host.name, version=live.version, generations=generations)
        response.headers[VERSION_HEADER] = str(reply.version)
        return reply

    @server.post("/check", status_code=204)
    def check(batch: EditBatch) -> None:
        """Say whether the batch could be edited."""
        with metrics.question("check"):
            host.check(batch)

    @server.get("/state")
    def state(response: Response) -> WorkerCard:
        """What this worker is and where it stands."""
        found = card()
        response.headers[VERSION_HEADER] = str(found.version)
        return found

    @server.get("/healthz")
    def healthz() -> Health:
        """The process answers, and its model is loaded."""
        return Health(status="ok")

    @server.get("/metrics")
    def exposition() -> Response:
        """Prometheus' text format."""
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return server


# --- errors ------------------------------------------------------------------------------------


def _handle_errors(server: FastAPI) -> None:
    """Every error leaves as problem+json."""
    server.add_exception_handler(EditError, _edit_error)
    server.add_exception_handler(RequestValidationError, _invalid)
    server.add_exception_handler(HTTPException, _http_error)
    server.add_exception_handler(Exception, _unforeseen)


def _answer(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    return Response(problem.model_dump_json(), problem.status, headers, media_type="application/problem+json")


def _edit_error(_: Request, error: Exception) -> Response:
    known = error if isinstance(error, EditError) else EditError(str(error))
    headers = None if known.retry_after is None else {"Retry-After": str(known.retry_after)}
    return _answer(problem_of(known), headers)


def _invalid(_: Request, error: Exception) -> Response:
    found = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    place = [str(part) for part in found.get("loc", ()) if part != "body"]
    detail = str(found.get("msg", "the request is not valid"))
    return _answer(problem_of(RequestError(detail, field=".".join(place) or None, value=found.get("input"))))


def _http_error(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail) if isinstance(error, HTTPException) else "internal error"
    code = detail.lower().replace(" ", "_")
    return _answer(Problem(title=detail, status=status, code=code, detail=detail))


def _unforeseen(_: Request, __: Exception) -> Response:
    """The traceback goes to the worker's log: uvicorn writes it."""
    return _answer(problem_of(EditError("the worker failed for a reason that only its own log tells")))

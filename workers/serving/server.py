"""The worker's own HTTP: questions for the live model, checks, state, health, metrics.

No access control: it is for the front end, on the loopback interface or a private network.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app.domain.contract import (
    Between,
    EditBatch,
    Generate,
    Health,
    Problem,
    Query,
    UpdateNorms,
    WorkerCard,
)
from app.domain.errors import EditError, RequestError, VersionNotReached
from app.domain.problems import problem_of
from workers.questions.batches import QuestionBatches
from workers.questions.lane import QuestionReply
from workers.serving.metrics import Metrics

VERSION_HEADER = "X-Model-Version"
VERSION_POLL_S = 0.02


class Held(Protocol):
    """Whoever holds the live model."""

    @property
    def version(self) -> int:
        """The version in service."""

    def check(self, batch: EditBatch) -> None:
        """Raise what is wrong with a batch."""

    def update_norms(self, old: int, new: int) -> dict[int, float]:
        """Frobenius norm of the difference between two versions' weights, of each layer that differs."""


def create_server(host: Held, card: Callable[[], WorkerCard], metrics: Metrics, batches: QuestionBatches) -> FastAPI:
    """The worker's application."""
    server = FastAPI(title="palimpsest worker", openapi_url=None)
    _handle_errors(server)

    async def ask(kind: str, request: Query | Generate) -> Response:
        with metrics.question(kind):
            await _reached(host, request)
            return _versioned(await asyncio.wrap_future(batches.ask(request)))

    @server.post("/probe", response_model=None)
    async def probe_prompts(query: Query) -> Response:
        """Answer prompts from one version."""
        if not query.prompts:
            raise RequestError("a worker answers prompts, not jobs", field="job", value=query.job)
        return await ask("probe", query)

    @server.post("/generate", response_model=None)
    async def generate_freely(request: Generate) -> Response:
        """Continue prompts from one version."""
        return await ask("generate", request)

    @server.post("/check", status_code=204)
    def check(batch: EditBatch) -> None:
        """Say whether the batch could be edited."""
        with metrics.question("check"):
            host.check(batch)

    @server.post("/norms")
    def compare(between: Between) -> UpdateNorms:
        """How far two versions' weights are apart."""
        with metrics.question("norms"):
            return UpdateNorms(norms=host.update_norms(between.old, between.new))

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


async def _reached(host: Held, request: Query | Generate) -> None:
    """Wait until the version that the request wants is in service, as long as the request allows.

    Raises:
        VersionNotReached: it did not come in time.
    """
    deadline = time.monotonic() + request.wait_seconds
    while host.version < request.min_version:
        if time.monotonic() >= deadline:
            detail = f"version {request.min_version} was not in service after {request.wait_seconds:g} s"
            raise VersionNotReached(f"{detail}; it is {host.version}", field="min_version", value=request.min_version)
        await asyncio.sleep(VERSION_POLL_S)


def _versioned(reply: QuestionReply) -> Response:
    headers = {VERSION_HEADER: str(reply.version)}
    return Response(reply.model_dump_json(), headers=headers, media_type="application/json")


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

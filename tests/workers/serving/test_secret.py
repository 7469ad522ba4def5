"""A worker with a secret answers whoever brings it, and nobody else, whatever they ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from app.domain.worker_http import credentials
from tests.workers.serving.test_server import Held, problem
from workers.questions.batches import QuestionBatches
from workers.serving.metrics import Metrics
from workers.serving.server import create_server
from workers.serving.server_thread import ServerThread

SECRET = "kept-from-strangers"
OPEN = {("GET", "/healthz"), ("GET", "/readyz")}


@pytest.fixture(scope="module")
def server() -> Iterator[FastAPI]:
    with made(SecretStr(SECRET)) as server:
        yield server


@pytest.fixture(scope="module")
def stranger(server: FastAPI) -> Iterator[httpx.Client]:
    """Somebody who reaches the worker's port and knows no secret."""
    thread = ServerThread("127.0.0.1", 0)
    thread.serve(server)
    with httpx.Client(base_url=f"http://127.0.0.1:{thread.port}", trust_env=False) as client:
        yield client
    thread.close()


@contextmanager
def made(secret: SecretStr | None) -> Iterator[FastAPI]:
    held = Held()
    batches = QuestionBatches(held, max_batch_tokens=512, threads=1, max_waiting=2)
    yield create_server(held, held.card, Metrics(lambda: held.version), batches, secret)
    batches.close()


def routes(server: FastAPI) -> Iterator[tuple[str, str]]:
    for route in iter_route_contexts(server.routes):
        for method in sorted(route.methods or {"GET"}):
            yield method, str(route.path)


def test_every_route_but_health_is_shut(server: FastAPI, stranger: httpx.Client) -> None:
    found = set(routes(server))
    assert found >= OPEN | {("POST", path) for path in ("/probe", "/generate", "/check", "/norms")}
    for method, path in found:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            answer = stranger.request(method, path, headers=headers)
            assert (answer.status_code == 401) == ((method, path) not in OPEN), (method, path)
        assert stranger.request(method, path, headers=credentials(SecretStr(SECRET))).status_code != 401


def test_the_refusal_is_a_problem_that_says_what_to_bring(stranger: httpx.Client) -> None:
    answer = stranger.post("/probe", json={"prompts": [{"prompt": "Lyon is in"}]})
    assert problem(answer).code == "unauthenticated"
    assert answer.headers["www-authenticate"] == 'Bearer realm="palimpsest"'


@pytest.mark.parametrize(
    "values",
    [
        [b""],
        [b"Bearer"],
        [SECRET.encode()],
        [b"Basic " + SECRET.encode()],
        [b"Bearer " + SECRET.encode()[:-1]],
        [b"Bearer " + SECRET.encode() + b"x"],
        [b"Bearer \xff\xfe"],
        [b"Bearer " + b"x" * 20_000],
        [b"Bearer " + SECRET.encode()] * 2,
    ],
)
def test_a_wrong_header_lets_nobody_in(stranger: httpx.Client, values: list[bytes]) -> None:
    answer = stranger.get("/state", headers=[(b"Authorization", value) for value in values])
    assert problem(answer).code == "unauthenticated"


@pytest.mark.parametrize(
    "path", ["/healthz/", "//healthz", "/healthz/../state", "/state/", "//state", "/%73tate", "/x"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_no_spelling_of_a_path_gets_past(stranger: httpx.Client, path: str, method: str) -> None:
    request = stranger.build_request(method, "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    assert stranger.send(request, follow_redirects=False).status_code == 401


def test_there_is_no_way_in_by_websocket(server: FastAPI) -> None:
    with TestClient(server) as client, pytest.raises(WebSocketDisconnect), client.websocket_connect("/healthz"):
        pass


def test_a_worker_without_a_secret_answers_everybody_on_its_machine() -> None:
    with made(None) as server, TestClient(server) as client:
        assert client.get("/state").status_code == 200

"""A request is refused in the same words by a worker and by the front end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException

import app.error_handlers
import workers.serving.error_handlers
from app.domain.contract import EditBatch, Problem
from app.domain.errors import PalimpsestError, SubjectNotInPrompt, Unavailable
from app.domain.problems import ValidationProblem

JSON = {"content-type": "application/json"}
REQUESTS: dict[str, tuple[str, str, bytes, dict[str, str]]] = {
    "a field is missing": ("POST", "/check", b'{"facts": [{"subject": "Lyon"}]}', JSON),
    "two fields are wrong": ("POST", "/check", b'{"facts": [{"subject": 1, "prompt": "{}", "object": 2}]}', JSON),
    "what a container holds is wrong": ("POST", "/check", b'{"facts": [{}, 3]}', JSON),
    "a value is long": ("POST", "/check", b'{"facts": [], "method": ["%s"]}' % (b"x" * 5000), JSON),
    "a name is long": ("POST", "/check", b'{"facts": [], "%s": 1}' % (b"x" * 5000), JSON),
    "a value has a lone surrogate": ("POST", "/check", b'{"facts": "\\ud800"}', JSON),
    "a value is no number": ("POST", "/check", b'{"facts": [], "verify": {"facts": NaN}}', JSON),
    "a query is wrong": ("GET", "/numbers?one=two", b"", {}),
    "it is not JSON": ("POST", "/check", b'{"facts": [}' + b" " * 500, JSON),
    "it does not say that it is JSON": ("POST", "/check", b'{"facts": []}', {"content-type": "text/plain"}),
    "there is no body": ("POST", "/check", b"", {}),
    "the path is not there": ("GET", "/nowhere/" + "x" * 500, b"", {}),
    "the method is not allowed": ("GET", "/check", b"", {}),
    "the framework refuses it": ("GET", "/refused", b"", {}),
    "the batch is at fault": ("GET", "/wrong", b"", {}),
    "it has to come again": ("GET", "/busy", b"", {}),
}


def client(install: Callable[[FastAPI], None]) -> TestClient:
    """An application that refuses, with one side's error handlers."""
    server = FastAPI()
    install(server)

    @server.post("/check")
    def check(batch: EditBatch) -> None:
        """Takes any."""

    @server.get("/numbers")
    def numbers(one: int) -> int:
        return one

    def raising(error: Exception) -> Callable[[], None]:
        def fail() -> None:
            raise error

        return fail

    server.get("/refused")(raising(HTTPException(418, "a \ud800 teapot", {"X-Kind": "pot"})))
    server.get("/wrong")(raising(SubjectNotInPrompt("not there", field="prompt", value="x" * 5000).at("facts.0")))
    server.get("/busy")(raising(Unavailable("not now")))
    server.get("/bug")(raising(KeyError("a secret")))
    return TestClient(server, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def worker() -> TestClient:
    return client(workers.serving.error_handlers.install)


@pytest.fixture(scope="module")
def front_end() -> TestClient:
    return client(app.error_handlers.install)


@pytest.mark.parametrize("name", REQUESTS)
def test_both_sides_say_the_same_when(name: str, worker: TestClient, front_end: TestClient) -> None:
    method, path, content, headers = REQUESTS[name]
    said, expected = (each.request(method, path, content=content, headers=headers) for each in (worker, front_end))
    assert said.headers["content-type"] == "application/problem+json"
    assert (said.status_code, said.content) == (expected.status_code, expected.content)
    assert said.headers == expected.headers
    assert 400 <= said.status_code == Problem.model_validate_json(said.content).status


def test_a_worker_names_every_fault_and_cuts_what_is_long(worker: TestClient) -> None:
    _, path, content, headers = REQUESTS["a value is long"]
    said = ValidationProblem.model_validate_json(worker.post(path, content=content, headers=headers).content)
    assert [each.field for each in said.errors] == ["facts", "method"]
    assert said.errors[1].value == ["x" * 199 + "…"]


def test_a_bug_in_a_worker_is_told_without_its_traceback(worker: TestClient) -> None:
    said = worker.get("/bug")
    problem = Problem.model_validate_json(said.content)
    assert (said.status_code, problem.status, problem.code) == (500, 500, PalimpsestError.code)
    assert "secret" not in said.text

"""Errors below /v1: problem details with OpenAI's ``error`` beside, whoever refuses the request."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.main import create_app
from app.settings import Settings
from tests.support.worker_end import WorkerEnd

COMPLETION = {"model": "atlas", "prompt": "Lyon is in"}


def refused(answer: Any) -> dict[str, Any]:
    """The problem that an answer has, which OpenAI's clients can read."""
    told: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (told["status"], told["code"]) == (answer.status_code, told["error"]["code"])
    assert (told["detail"], told["field"]) == (told["error"]["message"], told["error"]["param"])
    return told


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "kind"),
    [
        ("POST", "/v1/completions", {"model": "atlas"}, 400, "invalid_request", "invalid_request_error"),
        ("POST", "/v1/completions", {**COMPLETION, "tools": []}, 400, "invalid_request", "invalid_request_error"),
        ("POST", "/v1/completions", {**COMPLETION, "model": "x"}, 404, "unknown_model", "invalid_request_error"),
        ("POST", "/v1/completions", {**COMPLETION, "user": "x" * 9000}, 413, "body_too_large", "invalid_request_error"),
        ("GET", "/v1/models/nobody", None, 404, "unknown_model", "invalid_request_error"),
        ("GET", "/v1/models/a/b", None, 404, "not_found", "invalid_request_error"),
        ("GET", "/v1/completions", None, 405, "method_not_allowed", "invalid_request_error"),
        ("POST", "/v1/embeddings", {"input": "x"}, 404, "not_found", "invalid_request_error"),
    ],
)
def test_what_is_wrong_is_told_in_openais_way(
    client: TestClient, worker: WorkerEnd, method: str, path: str, body: Any, status: int, code: str, kind: str
) -> None:
    told = refused(client.request(method, path, json=body))
    assert (told["status"], told["code"], told["error"]["type"]) == (status, code, kind)


def test_a_body_that_is_no_json_is_400(client: TestClient) -> None:
    for content in (b"{", b"\xff\xfe{", b""):
        answer = client.post("/v1/completions", content=content, headers={"Content-Type": "application/json"})
        assert refused(answer)["status"] == 400


def test_whoever_is_not_known_is_told_so(settings: Settings, redis: Redis) -> None:
    shut = settings.model_copy(update={"allow_open": False})
    with TestClient(create_app(shut)) as client:
        answer = client.post("/v1/completions", json=COMPLETION)
        assert refused(answer)["error"]["type"] == "authentication_error"
        assert answer.headers["www-authenticate"]
        assert "error" not in client.post("/query", json={}).json()


def test_who_asks_too_often_is_told_when_to_come_back(settings: Settings, redis: Redis) -> None:
    slow = settings.model_copy(update={"max_requests_per_minute": 1})
    with TestClient(create_app(slow)) as client:
        client.get("/v1/models")
        answer = client.get("/v1/models")
        assert refused(answer)["error"]["type"] == "rate_limit_error"
        assert int(answer.headers["retry-after"]) >= 1


def test_other_routes_have_problem_details_alone(client: TestClient) -> None:
    answer = client.post("/query", json={})
    assert (answer.status_code, "error" in answer.json()) == (422, False)

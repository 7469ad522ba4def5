"""The service as a whole: health, metrics, its own documentation, and what it never loads."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from redis import Redis
from uvicorn.config import LOGGING_CONFIG

from app.main import create_app
from app.settings import Settings
from tests.support.worker_end import WorkerEnd

IMPORT_WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "safetensors", "workers"):
    sys.modules[name] = None
import app.main
"""


class TestHealth:
    def test_the_process_is_healthy_alone(self, client: TestClient) -> None:
        assert client.get("/healthz").json() == {"status": "ok", "detail": None}

    def test_ready_needs_a_worker(self, client: TestClient, redis: Redis, worker: WorkerEnd) -> None:
        assert client.get("/readyz").json() == {"status": "ok", "detail": "live workers: 1"}
        redis.flushall()
        response = client.get("/readyz")
        assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["retry-after"]


class TestMetrics:
    def test_requests_are_counted_by_template_and_status(self, client: TestClient) -> None:
        for path in ("/jobs/one", "/jobs/two", "/nowhere", "/healthz"):
            client.get(path)
        text = client.get("/metrics").text
        assert 'requests_total{method="GET",route="/jobs/{job}",status="404"} 2.0' in text
        assert 'requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
        assert 'request_seconds_count{method="GET",route="/healthz"} 1.0' in text
        assert "/jobs/one" not in text


def references(part: Any) -> Iterator[str]:
    """All that a description refers to."""
    match part:
        case {"$ref": str(place)}:
            yield place
        case dict():
            yield from (place for each in part.values() for place in references(each))
        case list():
            yield from (place for each in part for place in references(each))


class TestRouter:
    def test_an_unknown_path_is_a_problem(self, client: TestClient) -> None:
        response = client.get("/nowhere")
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
        assert response.json()["value"] == "GET /nowhere"
        assert response.headers["content-type"] == "application/problem+json"

    def test_a_wrong_method_is_a_problem_and_names_the_right_one(self, client: TestClient) -> None:
        response = client.delete("/edits")
        assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
        assert response.headers["allow"] == "POST"

    def test_every_route_documents_its_problems(self, client: TestClient) -> None:
        for path, methods in client.get("/openapi.json").json()["paths"].items():
            for operation in methods.values():
                refusals = {status: answer for status, answer in operation["responses"].items() if status >= "4"}
                assert refusals or path in ("/healthz", "/metrics")
                assert all("application/problem+json" in answer["content"] for answer in refusals.values())

    def test_every_route_with_a_body_documents_that_it_may_be_too_large(self, client: TestClient) -> None:
        for path, methods in client.get("/openapi.json").json()["paths"].items():
            for operation in methods.values():
                assert "requestBody" not in operation or "413" in operation["responses"], path

    def test_the_description_refers_to_nothing_that_it_lacks(self, client: TestClient) -> None:
        described = client.get("/openapi.json").json()
        places = set(references(described))
        assert places <= {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
        assert "#/components/schemas/Problem" in places

    def test_a_documented_status_names_its_own_codes_only(self, client: TestClient) -> None:
        answers = client.get("/openapi.json").json()["paths"]["/jobs/{job}"]["get"]["responses"]
        assert answers["404"]["description"].startswith("`unknown_job`: No job of that id")
        assert "redis_unavailable" in answers["503"]["description"]
        assert "redis_unavailable" not in answers["404"]["description"]


@contextmanager
def serving(app: FastAPI, log_level: str | None = "critical") -> Iterator[str]:
    """The application on a real port, as it is deployed; its URL. Without a level it leaves the logging as it is."""
    log_config = LOGGING_CONFIG if log_level else None
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level=log_level, log_config=log_config))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


class TestOverARealPort:
    def test_refusals_and_answers_are_the_same(self, settings: Settings, redis: Redis, worker: WorkerEnd) -> None:
        worker.answers_from(4)
        with serving(create_app(settings)) as url, httpx.Client(base_url=url, trust_env=False) as client:
            assert client.get("/readyz").json()["status"] == "ok"
            assert client.post("/query", json={"prompts": [{"prompt": "Hm"}]}).headers["x-model-version"] == "4"
            chunks = (b" " * 1000 for _ in range(9))
            too_large = client.post("/edits", content=chunks, headers={"Content-Type": "application/json"})
            assert (too_large.status_code, too_large.json()["code"]) == (413, "body_too_large")

    def test_slow_questions_leave_room_for_all_else(self, settings: Settings, redis: Redis, worker: WorkerEnd) -> None:
        few = settings.model_copy(update={"max_questions": 2})
        statuses: list[int] = []
        with serving(create_app(few)) as url, httpx.Client(base_url=url, trust_env=False) as client:

            def ask() -> None:
                statuses.append(client.post("/query", json={"prompts": [{"prompt": "Hm"}]}).status_code)

            with worker.silence("/probe"):
                waiting = [threading.Thread(target=ask) for _ in range(2)]
                for thread in waiting:
                    thread.start()
                while len(worker.asked) < 2:
                    time.sleep(0.01)
                refused = client.post("/query", json={"prompts": [{"prompt": "Hm"}]})
                assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
                assert client.get("/jobs").status_code == 200
                worker.answers_from(1)
            for thread in waiting:
                thread.join()
        assert statuses == [200, 200]


def test_the_front_end_loads_neither_torch_nor_workers() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_WITHOUT_TORCH], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_without_a_named_redis_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PALIMPSEST_REDIS_URL", raising=False)
    with pytest.raises(ValueError, match="PALIMPSEST_REDIS_URL"):
        create_app()

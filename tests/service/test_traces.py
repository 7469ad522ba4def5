"""Traces from a request to the worker that answers it or does its job, as a collector sees them; off by default."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from app.main import create_app
from app.settings import Settings
from tests.support.http_server import LocalServer
from tests.support.log_lines import SECRET
from tests.support.worker_process import RedisServer, until, worker_process

OFF = """
import sys
from app.main import create_app
import workers.main
from app.domain.tracing import tracing
create_app()
assert tracing("x", wanted=False).spans is None
# redis and transformers import the SDK's metrics where it is installed
found = [name for name in sys.modules if name.startswith(("opentelemetry.sdk.trace", "opentelemetry.exporter"))]
sys.exit(str(found) if found else 0)
"""


class Collector(LocalServer):
    """Takes traces over OTLP (HTTP), as a real one does."""

    def __init__(self) -> None:
        self.raw = b""
        self.spans: dict[str, list[tuple[str, Span]]] = {}
        end = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                end.raw += body
                for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    named = {each.key: each.value.string_value for each in of_resource.resource.attributes}
                    for scope in of_resource.scope_spans:
                        for span in scope.spans:
                            end.spans.setdefault(span.name, []).append((named["service.name"], span))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Says nothing."""

        super().__init__(Handler)

    def one(self, name: str) -> tuple[str, Span]:
        """The service and the span of this name."""
        until(lambda: name in self.spans, f"no span {name} of {list(self.spans)}")
        [found] = self.spans[name]
        return found


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield collector


@pytest.fixture
def front_end(collector: Collector, model: Path, tmp_path: Path) -> Iterator[TestClient]:
    """With a worker; both know the collector from the environment."""
    with ExitStack() as stack:
        redis = RedisServer(tmp_path)
        redis.start()
        stack.callback(redis.kill)
        stack.callback(redis.client.close)
        worker = stack.enter_context(worker_process(redis, model, tmp_path))
        worker.card()
        settings = Settings(redis_url=redis.url, data_dir=tmp_path, recovery_interval_s=3600, allow_open=True)
        yield stack.enter_context(TestClient(create_app(settings), raise_server_exceptions=False))


def test_a_question_and_a_job_are_traced_into_the_worker(front_end: TestClient, collector: Collector) -> None:
    question = {"prompts": [{"prompt": f"{SECRET} is a city in"}]}
    assert front_end.post("/query", json=question).status_code == 200
    fact = {"subject": SECRET, "prompt": "{} is a city in", "object": "Japan"}
    assert front_end.post("/edits", json={"facts": [fact], "unheld": "keep"}).status_code == 202
    assert front_end.post("/query", json={"prompts": SECRET}).status_code == 422
    job_service, job = collector.one("job edit")
    probe_service, probe = collector.one("POST /probe")
    accepted_service, accepted = collector.one("POST /edits")
    assert (job_service, probe_service) == ("palimpsest-worker", "palimpsest-worker")
    assert accepted_service == "palimpsest-front-end"
    assert (job.trace_id, job.parent_span_id) == (accepted.trace_id, accepted.span_id)
    until(lambda: len(collector.spans.get("POST /query", ())) == 2, "the questions' spans are missing")
    [asked] = [span for _, span in collector.spans["POST /query"] if span.trace_id == probe.trace_id]
    assert probe.parent_span_id == asked.span_id
    assert SECRET.encode() not in collector.raw
    assert not [name for name in collector.spans if "healthz" in name]


def test_without_being_asked_for_nothing_that_traces_or_exports_is_imported() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment |= {"PALIMPSEST_REDIS_URL": "redis://127.0.0.1:1", "FASTAPI_OTEL_AUTO_CONFIGURE": "true"}
    done = subprocess.run([sys.executable, "-c", OFF], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""Whether traces are on, by the setting or by OpenTelemetry's own variables; and what their spans never have."""

from __future__ import annotations

import logging
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.domain.tracing import Tracing, tracing
from tests.support.log_lines import SECRET

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("wanted", "variables", "on"),
    [
        (False, {}, False),
        (True, {}, True),
        (False, ENDPOINT, True),
        (False, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, True),
        (False, ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (False, ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
        (False, {"OTEL_SERVICE_NAME": "edits"}, False),
    ],
)
def test_they_are_on_when_somebody_asks(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, wanted: bool, on: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = tracing("test", wanted=wanted)
    assert (found.spans is not None) == on
    assert found.of_requests["tracing"] == on
    assert not found.of_requests["logs"]
    found.close()


def test_where_they_are_not_installed_a_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "app.domain.span_export", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with caplog.at_level(logging.WARNING):
        assert tracing("test", wanted=True).spans is None
    assert "palimpsest[tracing]" in caplog.text


def test_a_jobs_span_tells_what_kind_of_error_ended_it_and_not_its_words() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with pytest.raises(ValueError, match=SECRET), Tracing(provider).job("edit", "one", "atlas"):
        int(SECRET)
    [span] = exporter.get_finished_spans()
    assert span.name == "job edit"
    assert dict(span.attributes or {}) == {
        "palimpsest.job": "one",
        "palimpsest.model": "atlas",
        "error.type": "ValueError",
    }
    assert SECRET not in span.to_json()


def test_without_traces_a_job_is_done_all_the_same() -> None:
    with Tracing().job("edit", "one", "atlas"):
        pass

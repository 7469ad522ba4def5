"""Traces from a request to the worker that does its work, by OpenTelemetry; off unless asked for.

FastAPI makes the spans of requests, on both sides; here are its options, and the spans of jobs. A span never has a
caller's words: no exception's message, no body. While traces are off, neither the SDK's traces nor an exporter are
imported, and FastAPI looks at no provider and at none of its own variables.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from opentelemetry.trace import SpanKind, StatusCode, Tracer

logger = logging.getLogger(__name__)

QUIET = ("/healthz", "/readyz", "/metrics")
"""Paths that are asked all the time, and of which nobody wants a trace."""
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Spans(Protocol):
    """Where spans go: OpenTelemetry's provider, with an exporter."""

    def get_tracer(self, name: str) -> Tracer:
        """What makes spans."""

    def shutdown(self) -> None:
        """Export what is left, and end."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """Traces of one process; without ``spans`` they are off."""

    spans: Spans | None = None

    @property
    def of_requests(self) -> dict[str, Any]:
        """FastAPI's option ``telemetry``. Its logs and its metrics stay off: its logs have what callers wrote."""
        on = self.spans is not None
        return {
            "tracing": on,
            "tracer_provider": self.spans,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
            "exclude": lambda scope: scope.get("path") in QUIET,
        }

    @contextmanager
    def job(self, kind: str, job_id: str, model: str) -> Iterator[None]:
        """The span of a job, which belongs to the request that it came with."""
        if self.spans is None:
            yield
            return
        attributes = {"palimpsest.job": job_id, "palimpsest.model": model}
        started = self.spans.get_tracer("palimpsest").start_as_current_span(
            f"job {kind}",
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        )
        with started as span:
            try:
                yield
            except BaseException as error:
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(StatusCode.ERROR)
                raise

    def close(self) -> None:
        """Export what is left."""
        if self.spans is not None:
            self.spans.shutdown()


def tracing(service: str, *, wanted: bool) -> Tracing:
    """Traces if they are wanted, or if OpenTelemetry's own variables name a collector; else none.

    Where the extra ``tracing`` is not installed a warning says so, and they are off.
    """
    if not (wanted or _named(os.environ)):
        return Tracing()
    try:
        from app.domain.span_export import spans  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        logger.warning('traces are wanted, but not installed: pip install "palimpsest[tracing]"')
        return Tracing()
    return Tracing(spans(service))


def _named(variables: Mapping[str, str]) -> bool:
    disabled = variables.get("OTEL_SDK_DISABLED", "").lower() == "true"
    exporter = variables.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower()
    return not disabled and exporter != "none" and any(variables.get(name) for name in ENDPOINTS)

"""What the front end measures, for Prometheus: requests, by method, route template and status, and what joins them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPMethod
from importlib.metadata import version
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The measurements of one application; seconds for durations."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        build = Info("palimpsest_build", "The release.", registry=self._registry)
        build.info({"version": version("palimpsest")})
        labels = ("method", "route", "status")
        self._requests = Counter("palimpsest_http_requests", "Requests answered.", labels, registry=self._registry)
        self._seconds = Histogram(
            "palimpsest_http_request_seconds",
            "Time from a request's head to the end of its answer.",
            labels[:2],
            registry=self._registry,
            buckets=BUCKETS,
        )

    def record(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)

    @contextmanager
    def with_those_of(self, collector: Collector) -> Iterator[None]:
        """Have a collector asked at every scrape for as long as the block runs."""
        self._registry.register(collector)
        try:
            yield
        finally:
            self._registry.unregister(collector)

    def exposition(self) -> bytes:
        """All measurements in Prometheus' text format."""
        return generate_latest(self._registry)


class RequestMetrics:
    """ASGI middleware that records every request, under its route's template so that labels stay few."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and record how it was answered; 500 if it was not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            method = scope["method"] if scope["method"] in HTTPMethod.__members__ else "other"
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.record(method, route, status, perf_counter() - started)

"""Questions: how many, and how long they take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class QuestionMetrics:
    """Of questions and checks, by kind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        kind = ("kind",)
        self._taken = Counter("palimpsest_worker_questions", "Questions taken.", kind, registry=registry)
        self._seconds = Histogram(
            "palimpsest_worker_question_seconds",
            "Time from a question to its answer.",
            kind,
            registry=registry,
            buckets=SECONDS,
        )

    @contextmanager
    def question(self, kind: str) -> Iterator[None]:
        """Count and time a question."""
        started = time.perf_counter()
        self._taken.labels(kind).inc()
        try:
            yield
        finally:
            self._seconds.labels(kind).observe(time.perf_counter() - started)

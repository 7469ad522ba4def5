"""What a worker counts, for Prometheus: questions, jobs, publishes, their seconds, and the version it is at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from app.domain.contract import Harm

QUESTION_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
PUBLISH_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
JOB_SECONDS = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400)


class Metrics:
    """The measurements of one worker."""

    def __init__(self, version: Callable[[], int]) -> None:
        """``version``: asked at every scrape."""
        self._registry = CollectorRegistry()
        self._questions = Counter("palimpsest_worker_questions", "Questions taken.", ("kind",), registry=self._registry)
        self._question_seconds = Histogram(
            "palimpsest_worker_question_seconds",
            "Time from a question to its answer.",
            ("kind",),
            registry=self._registry,
            buckets=QUESTION_SECONDS,
        )
        job = ("kind", "status")
        self._jobs = Counter("palimpsest_worker_jobs", "Jobs ended.", job, registry=self._registry)
        self._job_seconds = Histogram(
            "palimpsest_worker_job_seconds", "Time of a job.", job, registry=self._registry, buckets=JOB_SECONDS
        )
        self._publish_block_seconds = Histogram(
            "palimpsest_publish_block_seconds",
            "Time for which a publish held up all questions.",
            registry=self._registry,
            buckets=PUBLISH_SECONDS,
        )
        self._publish_wait_seconds = Histogram(
            "palimpsest_publish_wait_seconds",
            "Time for which a publish waited for running questions, while none that came later could begin.",
            registry=self._registry,
            buckets=PUBLISH_SECONDS,
        )
        harm = ("against",)
        self._kl = Gauge(
            "palimpsest_worker_edit_kl",
            "Of the last edit in service: KL a token on kept texts, against the version before or the base.",
            harm,
            registry=self._registry,
        )
        self._top1 = Gauge(
            "palimpsest_worker_edit_top1",
            "Of the last edit in service: share of next tokens on kept texts whose likeliest is the same.",
            harm,
            registry=self._registry,
        )
        self._perplexity = Gauge(
            "palimpsest_worker_edit_perplexity_ratio",
            "Of the last edit in service: perplexity on kept texts, over that of the version before or the base.",
            harm,
            registry=self._registry,
        )
        gauge = Gauge("palimpsest_worker_version", "Version of the weights in service.", registry=self._registry)
        gauge.set_function(lambda: float(version()))

    @contextmanager
    def question(self, kind: str) -> Iterator[None]:
        """Count and time a question of a kind (``probe``, ``generate``, ``check``, ``norms``)."""
        started = time.perf_counter()
        self._questions.labels(kind).inc()
        try:
            yield
        finally:
            self._question_seconds.labels(kind).observe(time.perf_counter() - started)

    def job_ended(self, kind: str, status: str, seconds: float) -> None:
        """Count a job by its kind, and by how it ended."""
        self._jobs.labels(kind, status).inc()
        self._job_seconds.labels(kind, status).observe(seconds)

    def harmed(self, harm: Harm) -> None:
        """Show what the last edit did to text that has nothing to do with it."""
        for against, drift in (("before", harm.before), ("base", harm.base)):
            self._kl.labels(against).set(drift.kl)
            self._top1.labels(against).set(drift.top1)
            self._perplexity.labels(against).set(drift.perplexity)

    def published(self, waited: float, held: float) -> None:
        """Time a publish: seconds it waited for running questions, then seconds it held up all of them."""
        self._publish_wait_seconds.observe(waited)
        self._publish_block_seconds.observe(held)

    def exposition(self) -> bytes:
        """All measurements in Prometheus' text format."""
        return generate_latest(self._registry)

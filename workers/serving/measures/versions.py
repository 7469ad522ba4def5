"""Versions: what it takes to commit and to publish one, and what the last edit did to other text."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app.domain.contract import Harm

PUBLISH_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
COMMIT_SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


class VersionMetrics:
    """Of commits, publishes and harm."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._commit_seconds = Histogram(
            "palimpsest_worker_commit_seconds",
            "Time until a version was on disk.",
            registry=registry,
            buckets=COMMIT_SECONDS,
        )
        self._commit_bytes = Counter(
            "palimpsest_worker_commit_bytes", "Tensors and keys committed to the edit log.", registry=registry
        )
        self._publish_block_seconds = Histogram(
            "palimpsest_publish_block_seconds",
            "Time for which a publish held up all questions.",
            registry=registry,
            buckets=PUBLISH_SECONDS,
        )
        self._publish_wait_seconds = Histogram(
            "palimpsest_publish_wait_seconds",
            "Time for which a publish waited for running questions, while none that came later could begin.",
            registry=registry,
            buckets=PUBLISH_SECONDS,
        )
        against, last = ("against",), "Of the last edit in service:"
        self._kl = Gauge(
            "palimpsest_worker_edit_kl",
            f"{last} KL a token on kept texts, against the version before or the base.",
            against,
            registry=registry,
        )
        self._top1 = Gauge(
            "palimpsest_worker_edit_top1",
            f"{last} share of next tokens on kept texts whose likeliest is the same.",
            against,
            registry=registry,
        )
        self._perplexity = Gauge(
            "palimpsest_worker_edit_perplexity_ratio",
            f"{last} perplexity on kept texts, over that of the version before or the base.",
            against,
            registry=registry,
        )

    def committed(self, seconds: float, size: int) -> None:
        """Time a commit, and count its bytes."""
        self._commit_seconds.observe(seconds)
        self._commit_bytes.inc(size)

    def published(self, waited: float, held: float) -> None:
        """Time a publish."""
        self._publish_wait_seconds.observe(waited)
        self._publish_block_seconds.observe(held)

    def harmed(self, harm: Harm) -> None:
        """Show what the last edit did to text that has nothing to do with it."""
        for against, drift in (("before", harm.before), ("base", harm.base)):
            self._kl.labels(against).set(drift.kl)
            self._top1.labels(against).set(drift.top1)
            self._perplexity.labels(against).set(drift.perplexity)

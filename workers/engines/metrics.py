"""The follower's own metrics, from its card."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.domain.contract import FollowerCard, ServerState

STATES: tuple[ServerState, ...] = ("serving", "behind", "unreachable", "refused")


class FollowerMetrics(Collector):
    """Read at every scrape."""

    def __init__(self, card: Callable[[], FollowerCard]) -> None:
        self._card = card
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked of the card before there is one."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Every server's state, newest version, largest error, failed proofs and time to a proof."""
        card, labels = self._card(), ("model", "server")
        states = GaugeMetricFamily(
            "palimpsest_engine_servers", "Inference servers by state.", labels=("model", "state")
        )
        for state in STATES:
            count = sum(server.state == state for server in card.servers)
            states.add_metric((card.model, state), count)
        head = GaugeMetricFamily("palimpsest_engine_head", "The newest committed version.", labels=("model",))
        head.add_metric((card.model,), card.version)
        version = GaugeMetricFamily(
            "palimpsest_engine_version",
            "The newest version that a server has proven; 0: its base model.",
            labels=labels,
        )
        error = GaugeMetricFamily(
            "palimpsest_engine_error_nats", "Largest difference from the worker in its newest proof.", labels=labels
        )
        failed = CounterMetricFamily("palimpsest_engine_proofs_failed", "Proofs that failed.", labels=labels)
        seconds = GaugeMetricFamily(
            "palimpsest_engine_proven_seconds", "From commit to proof, of the newest proven version.", labels=labels
        )
        for server in card.servers:
            of = (card.model, server.url)
            failed.add_metric(of, server.proofs_failed)
            if server.versions:
                version.add_metric(of, max(server.versions))
            if server.largest_error is not None:
                error.add_metric(of, server.largest_error)
            if server.seconds_to_proven is not None:
                seconds.add_metric(of, server.seconds_to_proven)
        yield from (states, head, version, error, failed, seconds)

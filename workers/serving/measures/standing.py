"""Where a worker stands: its version, how far it is behind, its role, and when it last said so."""

from __future__ import annotations

import math
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge, Info

from app.domain.contract import WorkerCard


class StandingMetrics:
    """Of the worker's card: a scrape reads what the last heartbeat found, and never the log."""

    def __init__(self, registry: CollectorRegistry, version: Callable[[], int]) -> None:
        """``version``: asked at every scrape."""
        self._who = Info("palimpsest_worker", "Which worker this is, and of which model.", registry=registry)
        gauge = Gauge("palimpsest_worker_version", "Version of the weights in service.", registry=registry)
        gauge.set_function(lambda: float(version()))
        self._behind = Gauge(
            "palimpsest_worker_behind",
            "Versions that are committed and not in service here; NaN: the log cannot be looked at.",
            registry=registry,
        )
        self._leads = Gauge("palimpsest_worker_leads", "1 if this worker is its model's leader.", registry=registry)
        self._beat = Gauge(
            "palimpsest_worker_heartbeat_timestamp_seconds", "When the last heartbeat was made.", registry=registry
        )

    def stands(self, card: WorkerCard) -> None:
        """Show a card that was just written."""
        self._who.info({"worker": card.worker, "model": card.model, "device": card.device, "dtype": card.dtype})
        self._behind.set(math.nan if card.behind is None else card.behind)
        self._leads.set(card.role == "leader")
        self._beat.set_to_current_time()

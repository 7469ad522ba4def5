"""What a worker counts."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.worker_bench import batch, opened
from workers.serving.metrics import Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def test_every_publish_is_timed(model: Path, tmp_path: Path) -> None:
    with opened(model, tmp_path) as host:
        metrics = Metrics(lambda: host.version)
        host.watch_publishes(metrics.published)
        for number, place in enumerate(("Lyon", "Oslo")):
            host.edit(f"job{number}", batch(place), lambda _progress: None, lambda: None)
        found = samples(metrics)
    assert found["palimpsest_worker_version"] == 2
    assert found["palimpsest_publish_block_seconds_count"] == 2
    assert found["palimpsest_publish_wait_seconds_count"] == 2
    assert found["palimpsest_publish_block_seconds_sum"] > 0

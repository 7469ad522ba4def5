"""What a worker counts."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.turns import done
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
            done(host, f"job{number}", batch(place))
        found = samples(metrics)
    assert found["palimpsest_worker_version"] == 2
    assert found["palimpsest_publish_block_seconds_count"] == 2
    assert found["palimpsest_publish_wait_seconds_count"] == 2
    assert found["palimpsest_publish_block_seconds_sum"] > 0


def test_jobs_are_counted_by_kind_and_status() -> None:
    metrics = Metrics(lambda: 0)
    for kind, status in (("edit", "succeeded"), ("export", "succeeded"), ("edit", "rejected"), ("edit", "succeeded")):
        metrics.job_ended(kind, status, 0.5)
    families = text_string_to_metric_families(metrics.exposition().decode())
    [jobs] = [family for family in families if family.name == "palimpsest_worker_jobs"]
    counts = {(s.labels["kind"], s.labels["status"]): s.value for s in jobs.samples if s.name.endswith("_total")}
    assert counts == {("edit", "succeeded"): 2, ("edit", "rejected"): 1, ("export", "succeeded"): 1}

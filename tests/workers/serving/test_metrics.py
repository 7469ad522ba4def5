"""What a worker counts."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from app.domain.contract import Drift, Harm
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


def test_the_last_edits_harm_is_shown_against_both_versions() -> None:
    metrics = Metrics(lambda: 0)
    for kl in (0.5, 0.01):
        before, base = Drift(kl=kl, top1=0.9, perplexity=1.1), Drift(kl=2 * kl, top1=0.8, perplexity=1.2)
        metrics.harmed(Harm(tokens=256, before=before, base=base))
    families = text_string_to_metric_families(metrics.exposition().decode())
    found = {
        (sample.name, sample.labels["against"]): sample.value
        for family in families
        for sample in family.samples
        if "against" in sample.labels
    }
    assert found == {
        ("palimpsest_worker_edit_kl", "before"): 0.01,
        ("palimpsest_worker_edit_kl", "base"): 0.02,
        ("palimpsest_worker_edit_top1", "before"): 0.9,
        ("palimpsest_worker_edit_top1", "base"): 0.8,
        ("palimpsest_worker_edit_perplexity_ratio", "before"): 1.1,
        ("palimpsest_worker_edit_perplexity_ratio", "base"): 1.2,
    }

"""What a worker counts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.domain.contract import Drift, EditReport, Fact, FactReport, Harm, JobOutcome, JobStatus, Progress, Standing
from tests.support.turns import Watched, done
from tests.support.worker_bench import batch, opened
from tests.support.worker_end import card
from workers.queue.step_clock import PREPARING, StepClock
from workers.serving.metrics import Metrics

Labels = tuple[tuple[str, str], ...]
STANDING = Standing(probability=0.5, rank=1)
DRIFT = Drift(kl=0.5, top1=0.9, perplexity=1.1)


def samples(metrics: Metrics) -> dict[str, float]:
    return {name: value for (name, labels), value in labelled(metrics).items() if not labels}


def labelled(metrics: Metrics) -> dict[tuple[str, Labels], float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {(each.name, tuple(each.labels.items())): each.value for family in families for each in family.samples}


def report(*facts: FactReport, harm: Harm | None = None) -> EditReport:
    return EditReport(
        method="memit",
        plan="boundary",
        layers=(1,),
        strict=False,
        hyperparameters={},
        facts=facts,
        facts_hold=1.0,
        paraphrases_hold=None,
        neighbours_keep=None,
        update_norms={},
        seconds=1.0,
        harm=harm,
    )


def fact(*, holds: bool = True, written: bool = True) -> FactReport:
    of = Fact(subject="Lyon", prompt="{} lies in", object="Japan")
    return FactReport(
        index=0,
        subject=of.subject,
        prompt=of.prompt,
        object=of.object,
        before=STANDING,
        after=STANDING,
        holds=holds,
        written=written,
    )


def test_every_publish_and_every_commit_is_timed(model: Path, tmp_path: Path) -> None:
    with opened(model, tmp_path) as host:
        metrics = Metrics(lambda: host.version)
        host.watch_publishes(metrics.published)
        host.watch_commits(metrics.committed)
        for number, place in enumerate(("Lyon", "Oslo")):
            done(host, f"job{number}", batch(place))
        found = samples(metrics)
    assert found["palimpsest_worker_version"] == 2
    for timed in ("publish_block", "publish_wait", "worker_commit"):
        assert found[f"palimpsest_{timed}_seconds_count"] == 2
    assert found["palimpsest_publish_block_seconds_sum"] > 0
    assert found["palimpsest_worker_commit_seconds_sum"] > 0
    kept = sum(path.stat().st_size for path in (tmp_path / "log").rglob("versions/*/*.safetensors"))
    assert found["palimpsest_worker_commit_bytes_total"] == kept > 0


def test_jobs_are_counted_by_kind_and_status() -> None:
    metrics = Metrics(lambda: 0)
    for kind, status in (("edit", "succeeded"), ("export", "succeeded"), ("edit", "rejected"), ("edit", "succeeded")):
        metrics.job_ended(kind, JobOutcome(status=JobStatus(status)), 0.5)
    families = text_string_to_metric_families(metrics.exposition().decode())
    [jobs] = [family for family in families if family.name == "palimpsest_worker_jobs"]
    counts = {(s.labels["kind"], s.labels["status"]): s.value for s in jobs.samples if s.name.endswith("_total")}
    assert counts == {("edit", "succeeded"): 2, ("edit", "rejected"): 1, ("export", "succeeded"): 1}


def test_facts_are_counted_by_what_became_of_them_and_the_last_edits_pace_is_shown() -> None:
    metrics = Metrics(lambda: 0)
    facts = (fact(), fact(), fact(holds=False), fact(holds=False, written=False))
    metrics.job_ended("edit", JobOutcome(status=JobStatus.SUCCEEDED, version=1, report=report(*facts)), 2.0)
    metrics.job_ended("edit", JobOutcome(status=JobStatus.REJECTED, report=report(fact(), fact())), 1.0)
    found = labelled(metrics)
    counted = {result: found["palimpsest_worker_facts_total", (("result", result),)] for result in RESULTS}
    assert counted == {"held": 2, "not_held": 1, "dropped": 1, "rejected": 2}
    assert found["palimpsest_worker_edit_facts_per_second", ()] == 2.0


RESULTS = ("held", "not_held", "dropped", "rejected")


def test_facts_are_there_before_the_first_one_so_that_a_rate_sees_it() -> None:
    found = labelled(Metrics(lambda: 0))
    assert [found["palimpsest_worker_facts_total", (("result", result),)] for result in RESULTS] == [0, 0, 0, 0]


def test_the_last_edits_harm_is_shown_against_both_versions() -> None:
    metrics = Metrics(lambda: 0)
    for kl in (0.5, 0.01):
        before, base = Drift(kl=kl, top1=0.9, perplexity=1.1), Drift(kl=2 * kl, top1=0.8, perplexity=1.2)
        edited = report(fact(), harm=Harm(tokens=256, before=before, base=base))
        metrics.job_ended("edit", JobOutcome(status=JobStatus.SUCCEEDED, version=1, report=edited), 1.0)
    unserved = report(fact(), harm=Harm(tokens=256, before=DRIFT, base=DRIFT))
    metrics.job_ended("edit", JobOutcome(status=JobStatus.REJECTED, report=unserved), 1.0)
    found = {key: value for key, value in labelled(metrics).items() if "against" in dict(key[1])}
    assert found == {
        ("palimpsest_worker_edit_kl", (("against", "before"),)): 0.01,
        ("palimpsest_worker_edit_kl", (("against", "base"),)): 0.02,
        ("palimpsest_worker_edit_top1", (("against", "before"),)): 0.9,
        ("palimpsest_worker_edit_top1", (("against", "base"),)): 0.8,
        ("palimpsest_worker_edit_perplexity_ratio", (("against", "before"),)): 1.1,
        ("palimpsest_worker_edit_perplexity_ratio", (("against", "base"),)): 1.2,
    }


@pytest.mark.parametrize(("behind", "shown"), [(3, 3.0), (0, 0.0), (None, math.nan)])
def test_a_worker_shows_what_its_last_heartbeat_said(behind: int | None, shown: float) -> None:
    metrics = Metrics(lambda: 7)
    metrics.stands(card("atlas", "w1").model_copy(update={"behind": behind, "role": "leader"}))
    found = labelled(metrics)
    assert found["palimpsest_worker_behind", ()] == pytest.approx(shown, nan_ok=True)
    assert found["palimpsest_worker_leads", ()] == 1
    assert found["palimpsest_worker_heartbeat_timestamp_seconds", ()] > 1_600_000_000
    [who] = [dict(labels) for name, labels in found if name == "palimpsest_worker_info"]
    assert (who["model"], who["worker"]) == ("atlas", "w1")
    metrics.stands(card("atlas", "w1").model_copy(update={"role": "replica"}))
    assert labelled(metrics)["palimpsest_worker_leads", ()] == 0


def test_the_steps_of_a_job_share_all_of_its_time(model: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    with opened(model, tmp_path) as host:
        clock = StepClock(lambda progress: heard.append(progress.stage))
        done(host, "one", batch("Lyon"), Watched(tell=clock.report))
        spent = clock.ended()
    assert list(spent) == [PREPARING, "targets", "solve", "verify", "commit", "publish"]
    assert set(heard) == set(spent) - {PREPARING}
    assert all(seconds > 0 for seconds in spent.values())


def test_seconds_go_to_the_stage_that_was_told_last(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("workers.queue.step_clock.time.monotonic", lambda: now)
    clock = StepClock(lambda _: None)
    for stage, seconds in (("targets", 1.0), ("targets", 2.0), ("solve", 4.0), ("targets", 8.0), ("verify", 16.0)):
        now += seconds
        clock.report(Progress.model_validate({"stage": stage}))
    now += 32.0
    assert clock.ended() == {PREPARING: 1.0, "targets": 22.0, "solve": 8.0, "verify": 32.0}

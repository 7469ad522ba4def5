"""Alarms and dashboard speak of metrics that are there, in words that Prometheus knows; so do the docs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client import generate_latest
from redis import Redis

from app.domain.contract import FollowerCard
from app.main import create_app
from app.settings import Settings
from tests.support.dockerfiles import ROOT
from tests.support.worker_end import card, join
from workers.engines.metrics import FollowerMetrics
from workers.serving.metrics import Metrics

MONITORING = ROOT / "deploy" / "monitoring"
FOLLOWED = FollowerCard(
    follower="f", model="m", engine="vllm", version=1, tolerance=0.1, servers=(), started=datetime.now(UTC)
)
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"][0]["rules"]
    return found


def of_the_dashboard() -> list[str]:
    dashboard = json.loads((MONITORING / "grafana" / "dashboards" / "palimpsest.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]


def expressions() -> list[str]:
    return [rule["expr"] for rule in rules()] + of_the_dashboard()


def series(exposition: str) -> set[str]:
    """The names of all series that a page announces, whether or not they have samples yet."""
    kinds = re.findall(r"^# TYPE (\S+) (\S+)$", exposition, re.MULTILINE)
    return {f"{name}{suffix}" for name, kind in kinds for suffix in SUFFIXES.get(kind, ("",))}


def promtool(*arguments: str) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def measured(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What servers and a follower measure, with Redis and a worker there."""
    settings = Settings(
        redis_url=redis_url, data_dir=tmp_path_factory.mktemp("data"), recovery_interval_s=3600, allow_open=True
    )
    with Redis.from_url(redis_url) as redis:
        join(redis, card("atlas"))
        with TestClient(create_app(settings)) as client:
            front_end = series(client.get("/metrics").text)
        redis.flushall()
    follower = series(generate_latest(FollowerMetrics(lambda: FOLLOWED).registry).decode())
    return front_end | follower | series(Metrics(lambda: 0).exposition().decode())


def test_every_metric_that_is_named_is_measured(measured: set[str]) -> None:
    named = {name for each in expressions() for name in re.findall(r"\b(?:palimpsest|process)_\w+", each)}
    assert len(named) > 20
    assert named - measured == set()


def test_a_metric_that_is_not_there_would_be_noticed(measured: set[str]) -> None:
    assert "palimpsest_queue_jobs" in measured
    assert "palimpsest_queue_job" not in measured
    assert "palimpsest_worker_question_seconds" not in measured  # only its buckets, sum and count


def test_every_alarm_is_explained_in_the_docs() -> None:
    explained = re.findall(r"^\| `(Palimpsest\w+)` \|", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert explained == [rule["alert"] for rule in rules()]


def test_every_alarm_is_seen_to_fire() -> None:
    tests = yaml.safe_load((MONITORING / "rules.test.yml").read_text())["tests"]
    fired = {each["alertname"] for test in tests for each in test.get("alert_rule_test", ()) if each["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules()}


@needs_promtool
def test_prometheus_takes_the_rules_and_they_do_as_they_say() -> None:
    promtool("check", "rules", str(MONITORING / "rules.yml"))
    promtool("test", "rules", str(MONITORING / "rules.test.yml"))


@needs_promtool
def test_prometheus_takes_the_configuration() -> None:
    promtool("check", "config", "--syntax-only", str(MONITORING / "prometheus.yml"))


@needs_promtool
def test_prometheus_understands_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    recorded = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(of_the_dashboard())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    promtool("check", "rules", str(tmp_path / "panels.yml"))

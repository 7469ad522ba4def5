"""The GPU benchmark, tried on a CPU: it needs no more than it says, agrees with the naive loop, keeps to its time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import compared, main
from benchmarks.gpu_bench import ENGINE, NAIVE, Measured

SEPARATE = """
import sys

ABSENT = ("pydantic", "pydantic_settings", "rich", "typer", "fastapi", "redis", "rq", "prometheus_client", "tests")


class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in ABSENT else self.finder.find_spec(name, path, target)


sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from benchmarks.gpu import main

code = main(["--device", "cpu", "--tiny", "--dtype", "float32", "--shape", "tiny-gpt2", "--json", sys.argv[1]])
modules = {name for name in sys.modules if name.split(".")[0] in ("app", "workers")}
print("\\n".join(sorted(modules)))
sys.exit(code)
"""


def measured(tmp_path: Path, *options: str) -> dict[str, Any]:
    assert main(["--device", "cpu", "--tiny", "--json", str(tmp_path / "gpu.json"), *options]) == 0
    found: dict[str, Any] = json.loads((tmp_path / "gpu.json").read_text())
    return found


def test_it_needs_only_the_engine_and_what_the_engine_needs(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", SEPARATE, str(tmp_path / "gpu.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    modules = {line for line in ended.stdout.splitlines() if line.startswith(("app", "workers"))}
    foreign = {module for module in modules if not module.startswith(("workers.editing", "app.domain"))}
    packages = {"app", "workers", "workers.experiments"}
    assert foreign == packages | {"workers.experiments.machine"}, (
        "the packages, which are empty, and the machine's name"
    )
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert {(row["plan"], row["way"], row["facts"]) for row in found["rows"]} == {
        (plan, way, facts) for plan in ("boundary", "even") for way, facts in ((ENGINE, 1), (ENGINE, 3), (NAIVE, 2))
    }
    assert all(row["difference"] <= 1e-3 for row in found["rows"] if row["way"] == NAIVE)
    assert all(row["of_peak"] > 0 for row in found["rows"] if row["way"] == ENGINE)


def test_models_in_bfloat16_are_measured_too(tmp_path: Path) -> None:
    found = measured(tmp_path, "--shape", "tiny-llama")
    assert found["settings"]["dtype"] == "bfloat16"
    assert len(found["rows"]) == 6
    assert all(row["difference"] <= 0.05 for row in found["rows"] if row["way"] == NAIVE)


def test_what_the_time_does_not_suffice_for_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "cpu", "--tiny", "--shape", "tiny-gpt2", "--minutes", "0"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("left out for want of time: tiny-gpt2") == 6
    assert not list(tmp_path.iterdir())


def test_rates_are_held_against_the_naive_loop_of_the_same_model_and_plan() -> None:
    rows = [
        Measured("xl", plan, way, 1, 1, 1.0, rate, 0.0, None)
        for plan, way, rate in [("even", ENGINE, 6.0), ("boundary", NAIVE, 2.0), ("boundary", ENGINE, 8.0)]
    ]
    assert [(row.plan, row.way, row.times) for row in compared(rows)] == [
        ("boundary", NAIVE, None),
        ("boundary", ENGINE, 4.0),
        ("even", ENGINE, None),
    ]

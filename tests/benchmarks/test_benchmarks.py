"""Every benchmark runs, at a size that takes seconds, and says what the table promises; what it finds is not judged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import edit_cost, edit_speed, roofline, sequence_cost, solve_speed, statistics_speed

ROOT = Path(__file__).parents[2]
TINY = ("--model", "tiny-gpt2", "--steps", "3")


def ran(run: Callable[..., None], folder: Path, *options: str, exit_code: int = 0) -> dict[str, Any]:
    """The JSON of a benchmark's command, run with these options."""
    command = typer.Typer()
    command.command()(run)
    ended = CliRunner().invoke(command, [*options, "--json", str(folder / "result.json")])
    assert ended.exit_code == exit_code, ended.output
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    assert "torch" in found["machine"]
    return found


def test_make_bench_runs_every_benchmark_that_has_a_bound() -> None:
    listed = re.search(r"^BENCHMARKS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed is not None
    judged = {file.stem for file in (ROOT / "benchmarks").glob("*.py") if '"--check"' in file.read_text()}
    assert set(listed[1].split()) == judged


class TestEditSpeed:
    def test_both_sides_edit_the_same_facts_and_agree(self, tmp_path: Path) -> None:
        found = ran(edit_speed.run, tmp_path, *TINY, "--random-facts", "3", "--plain-facts", "2", "--repeats", "1")
        (row,) = found["rows"]
        assert (row["model"], row["facts"], row["plain_facts"]) == ("tiny-gpt2", 3, 2)
        assert row["times"] == pytest.approx(row["plain_s"] / row["engine_s"])
        assert 0 < row["difference"] <= edit_speed.DIFFERENCE

    def test_a_model_that_is_too_slow_or_differs_fails_the_check(self) -> None:
        good = edit_speed.Row("atlas-gpt2", 100, 0.1, 100, 0.75, 7.5, 1e-5)
        assert all(bound.met for bound in edit_speed.bounds([good]))
        assert not all(bound.met for bound in edit_speed.bounds([good, replace(good, model="gpt2-small")]))
        assert not all(bound.met for bound in edit_speed.bounds([good, replace(good, difference=2e-4)]))
        assert not all(bound.met for bound in edit_speed.bounds([good, replace(good, times=6.9)]))


class TestStatisticsSpeed:
    def test_both_ways_take_the_same_tokens_and_agree(self, tmp_path: Path) -> None:
        options = ("--model", "tiny-llama", "--tokens", "600", "--layers", "0,1")
        found = ran(statistics_speed.run, tmp_path, *options)
        (row,) = found["rows"]
        assert (row["layers"], row["tokens"] >= 600) == ("0, 1", True)
        assert row["times"] == pytest.approx(row["cut"] / row["plain"])
        assert 0 <= row["difference"] <= statistics_speed.DIFFERENCE

    def test_layers_that_are_too_slow_or_differ_fail_the_check(self) -> None:
        good = statistics_speed.Row("4, 8", 20_000, 300, 1200, 4.0, 1e-7)
        assert all(bound.met for bound in statistics_speed.bounds([good]))
        assert not all(bound.met for bound in statistics_speed.bounds([replace(good, times=2.9)]))
        assert not all(bound.met for bound in statistics_speed.bounds([good, replace(good, difference=1e-3)]))


class TestEditCost:
    def test_each_size_runs_in_a_process_of_its_own(self, tmp_path: Path) -> None:
        sizes = ("--size", "1", "--size", "2", "--total", "3", "--cap", "64")
        found = ran(edit_cost.run, tmp_path, *TINY, *sizes)
        assert [(row["facts"], row["batches"]) for row in found["rows"]] == [(1, 3), (2, 1), (2, 1)]
        assert [row["cap"] for row in found["rows"]] == [16384, 16384, 64]
        assert all(row["peak_mb"] >= row["loaded_mb"] > 0 for row in found["rows"])
        assert all(row["steps_per_fact"] == 2 * 2 for row in found["rows"]), "layers x steps: none converges"

    def test_a_smaller_size_runs_before_and_after_the_larger_ones(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []

        def row(case: edit_cost.Case) -> edit_cost.Row:
            seen.append((case.facts, case.first, case.batches))
            return edit_cost.Row("m", 1, case.facts, case.batches, 10.0, float(case.first), 400.0, 500.0 + case.first)

        monkeypatch.setattr(edit_cost, "in_a_process", row)
        cases = [edit_cost.Case("m", size, batches, "", 0) for size, batches in ((10, 5), (100, 4), (1000, 1))]
        rows = edit_cost.all_sizes(cases)
        assert seen == [(10, 0, 2), (100, 0, 2), (1000, 0, 1), (100, 2, 2), (10, 2, 3)]
        assert [(found.facts, found.batches) for found in rows] == [(10, 5), (100, 4), (1000, 1)]
        assert rows[0].seconds_per_fact == pytest.approx((2 * 0.0 + 3 * 2.0) / 5), "each half by its batches"
        assert rows[0].peak_mb == 502.0

    def test_the_large_batch_is_held_against_the_small_one_under_the_presets_cap(self) -> None:
        small = edit_cost.Row("atlas-gpt2", 16384, 100, 5, 25.0, 0.10, 400.0, 500.0)
        large = replace(small, facts=1000, seconds_per_fact=0.105, peak_mb=640.0)
        other_cap = replace(large, cap=65536, peak_mb=5000.0)
        assert [bound.met for bound in edit_cost.bounds([small, large, other_cap])] == [True, True]
        slower, larger = replace(large, seconds_per_fact=0.12), replace(large, peak_mb=700.0)
        assert [bound.met for bound in edit_cost.bounds([small, slower])] == [False, True]
        assert [bound.met for bound in edit_cost.bounds([small, larger])] == [True, False]


class TestSequenceCost:
    def test_previous_keys_grow_from_batch_to_batch(self, tmp_path: Path) -> None:
        sizes = ("--batches", "3", "--size", "2", "--runs", "2")
        found = ran(sequence_cost.run, tmp_path, *TINY, *sizes)
        assert [(row["batch"], row["previous_keys"]) for row in found["rows"]] == [(1, 0), (3, 4)]
        assert all(row["steps"] == 2 * 2 * 2 for row in found["rows"]), "facts x layers x steps: none converges"
        assert all(0 < row["solve_s"] < row["seconds"] for row in found["rows"])

    def test_the_last_batch_is_held_against_the_first(self) -> None:
        first = sequence_cost.Row("atlas-gpt2", 1, 0, 3.0, 900.0, 3.3, 0.1)
        middle, last = replace(first, batch=10, seconds=9.0), replace(first, batch=50, seconds=3.8)
        assert [bound.met for bound in sequence_cost.bounds([first, middle, last])] == [True]
        assert [bound.met for bound in sequence_cost.bounds([first, replace(last, seconds=4.0)])] == [False]


class TestRoofline:
    def test_the_fraction_is_what_the_steps_need_over_the_measured_peak(self, tmp_path: Path) -> None:
        options = ("--random-facts", "2", "--repeats", "1", "--peak-size", "64", "--check")
        found = ran(roofline.run, tmp_path, *TINY, *options, exit_code=1)
        (row,) = found["rows"]
        assert row["fraction"] == pytest.approx(row["gflop"] / row["seconds"] / row["peak"])
        assert row["steps"] == 2 * 2 * 2
        assert 0 < row["share_of_edit"] < 1

    def test_only_random_models_have_a_bound(self) -> None:
        small = roofline.Row("gpt2-small", 20, 960, 5000.0, 60.0, 130.0, 0.61, 0.9)
        bundled = replace(small, model="atlas-llama", fraction=0.3)
        assert [bound.met for bound in roofline.bounds([small, bundled])] == [True]
        assert [bound.met for bound in roofline.bounds([replace(small, fraction=0.59)])] == [False]


class TestSolveSpeed:
    def test_both_sides_solve_the_same_and_agree(self, tmp_path: Path) -> None:
        sizes = ("--width", "48", "--earlier", "0", "--earlier", "20", "--earlier", "40", "--batch", "8", "--check")
        found = ran(solve_speed.run, tmp_path, *sizes)
        assert [row["earlier"] for row in found["rows"]] == [0, 20, 40]
        assert all(row["times"] == pytest.approx(row["dense_s"] / row["dual_s"]) for row in found["rows"])
        assert all(0 < row["difference"] <= solve_speed.DIFFERENCE for row in found["rows"])

    def test_speed_is_judged_at_one_place_and_agreement_everywhere(self) -> None:
        row = solve_speed.Row(8192, 100, 1000, 1.0, 16.0, 16.0, 10.0, 9.0, 1e-12)
        narrow = replace(row, width=4096, times=5.0)
        assert [bound.met for bound in solve_speed.bounds([narrow, row])] == [True, True, True]
        assert [bound.met for bound in solve_speed.bounds([replace(row, times=14.9)])] == [False, True]
        assert [bound.met for bound in solve_speed.bounds([replace(narrow, difference=1e-3), row])] == [
            True,
            False,
            True,
        ]

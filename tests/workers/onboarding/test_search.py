"""The search for hyperparameters: one axis after another, what is better wins, and nothing is tried twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from app.domain.errors import InvalidHyperparameter
from workers.editing.presets import generic_preset
from workers.editing.presets.preset import Preset
from workers.onboarding.search import AXES, Search, Tried, affordable, spans
from workers.onboarding.trial import Bench, Outcome

SPANS = ([0, 1], [1, 2])


@dataclass
class Scripted:
    """Stands for a bench: a preset's outcome follows from its values."""

    best: dict[str, Any]
    runs: list[Preset] = field(default_factory=list)

    def run(self, preset: Preset) -> Outcome:
        self.runs.append(preset)
        if preset.clamp_norm_factor == 3.0:
            raise InvalidHyperparameter("too far")
        right = sum(getattr(preset, name) == value for name, value in self.best.items())
        share = 0.5 + 0.1 * right
        return Outcome(share, share, share, share, 1.0)


def search(bench: Scripted, folder: Path, of: str = "these facts") -> Search:
    return Search(cast("Bench", bench), generic_preset(6), SPANS, folder / "trials.json", of)


def silent(_tried: Tried) -> None: ...


def test_each_axis_comes_to_its_best_value(tmp_path: Path) -> None:
    wanted = {"layers": (1, 2), "share": 0.9, "v_lr": 0.2}
    found = search(Scripted(wanted), tmp_path).run(60, silent)
    assert {name: found.values[name] for name in wanted} == {**wanted, "layers": [1, 2]}


def test_without_time_the_start_alone_is_tried(tmp_path: Path) -> None:
    bench = Scripted({})
    found = search(bench, tmp_path).run(0, silent)
    assert len(bench.runs) == 1
    assert found.values == {"layers": [0, 1], **{name: values[0] for name, values in AXES.items()}}


def test_no_trial_begins_that_would_end_after_the_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("workers.onboarding.search.time.monotonic", lambda: now[0])

    class Slow(Scripted):
        def run(self, preset: Preset) -> Outcome:
            now[0] += 10.0
            return super().run(preset)

    bench = Slow({})
    search(bench, tmp_path).run(35, silent)
    assert (len(bench.runs), now[0]) == (3, 30.0)


def test_a_search_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    bench = Scripted({"share": 0.6})
    first = search(bench, tmp_path).run(60, silent)
    tried = len(bench.runs)
    again = search(bench, tmp_path).run(60, silent)
    assert (again.values, len(bench.runs)) == (first.values, tried)


def test_trials_on_other_facts_are_not_taken_up(tmp_path: Path) -> None:
    bench = Scripted({})
    search(bench, tmp_path).run(0, silent)
    search(bench, tmp_path, "other facts").run(0, silent)
    assert len(bench.runs) == 2


def test_values_that_cannot_be_edited_with_are_passed_over(tmp_path: Path) -> None:
    heard: list[Tried] = []
    found = search(Scripted({"clamp_norm_factor": 3.0}), tmp_path).run(60, heard.append)
    assert any(each.outcome is None for each in heard)
    assert found.outcome is not None


@pytest.mark.parametrize(
    ("score", "seconds", "better"),
    [(0.9, 5.0, True), (0.82, 1.0, False), (0.8, 0.5, True), (0.8, 0.95, False), (0.79, 0.5, False), (0.82, 0.5, True)],
)
def test_a_better_score_wins_or_a_quicker_one_that_is_no_worse(score: float, seconds: float, better: bool) -> None:
    standing = Tried({}, Outcome(0.8, 0.8, 0.8, 0.8, 1.0))
    assert Tried({}, Outcome(score, score, score, score, seconds)).beats(standing) is better


@pytest.mark.parametrize("depth", [2, 3, 6, 30, 80])
def test_spans_lie_within_the_model_and_rise(depth: int) -> None:
    for first, last in spans(depth):
        assert 0 <= first < last < depth


def test_a_wide_model_tries_fewer_spans_but_the_first_one_always() -> None:
    pairs = spans(30)
    assert affordable(pairs, 1536) == list(pairs)
    assert affordable(pairs, 14336) == list(pairs[:1])
    assert affordable(pairs, 100_000) == list(pairs[:1])


def test_the_score_is_the_harmonic_mean_and_zero_where_one_share_is() -> None:
    assert Outcome(1.0, 0.5, 1.0, 1.0, 1.0).score == pytest.approx(0.8)
    assert Outcome(1.0, 1.0, 1.0, 0.0, 1.0).score == 0.0

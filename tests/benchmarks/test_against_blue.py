"""A default beside BLUE: who takes part, whose turn it is, and what is missed when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.contract import Hyperparameters
from benchmarks.against_blue import BLUE, DEFAULT, Side, bounds, by_turns, seconds_of, side_of, sides_of
from workers.experiments.cases import DataSet
from workers.models import bundled

OTHER = Side(BLUE, 100, 0.98, 0.95, 0.95, 0.4, 0.6, 0.06, 1.05, score=0.8, seconds=10.0, times=1.0)
GOOD = replace(OTHER, part=DEFAULT, seconds=7.0, times=0.7)


def missed(default: Side) -> list[str]:
    return [bound.what for bound in bounds(default, OTHER) if not bound.met]


def test_a_default_is_as_good_and_quicker() -> None:
    assert missed(GOOD) == []
    assert missed(replace(GOOD, times=0.71)) == ["seconds a fact, in BLUE's"]
    assert missed(replace(GOOD, score=0.799)) == ["harmonic mean, more than BLUE's"]
    assert missed(replace(GOOD, score=float("nan"))) == ["harmonic mean, more than BLUE's"]
    assert missed(replace(OTHER, part=DEFAULT)) == ["seconds a fact, in BLUE's"], "BLUE itself is no quicker"


def test_both_edit_the_same_facts_by_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = DataSet.read(str(bundled("atlas-gpt2") / "facts.json"))
    sides = sides_of("atlas-gpt2", data, 4, 1, 2, Hyperparameters(v_num_grad_steps=6))
    assert (sides[BLUE].method, sides[BLUE].plan) == ("memit", "boundary")
    assert sides[BLUE].hyperparameters == Hyperparameters(early_stop=1000), "never, and nothing of the candidate's"
    folders = by_turns(sides, data, tmp_path / "runs", tmp_path / "data")
    lines = capsys.readouterr().err.splitlines()
    assert sum("of the unedited model" in line for line in lines) == 1
    told = [line.partition(":")[0] for line in lines if line.startswith("batch")]
    assert told == ["batch 1", "batch 2", "batch 1", "batch 2", "batch 3", "batch 4", "batch 3", "batch 4"]
    default, blue = (side_of(name, folders[name], seconds_of(folders[BLUE])) for name in (DEFAULT, BLUE))
    assert default.facts == blue.facts == 4
    assert blue.times == 1.0
    assert default.times == pytest.approx(default.seconds / blue.seconds)

"""A report says what was measured, and whether it suffices."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.report import Bound, Report, shown, table


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement."""

    model: str = field(metadata=shown("model"))
    seconds: float | None = field(metadata=shown("seconds", ".2f"))


ROWS = [Row("small", 1.0), Row("the large one", 12.345), Row("none", None)]


def report(*bounds: Bound) -> Report:
    return Report("speed", "a machine", {"seed": 0}, ROWS, bounds, ["one row was left out"])


def test_columns_are_aligned_and_none_is_a_dash() -> None:
    assert table(ROWS).splitlines() == [
        "model          seconds",
        "----------------------",
        "small             1.00",
        "the large one    12.35",
        "none                 -",
    ]


@pytest.mark.parametrize(
    ("bound", "met"),
    [
        (Bound("times", 7.0, 7.0, at_least=True), True),
        (Bound("times", 6.99, 7.0, at_least=True), False),
        (Bound("difference", 1e-4, 1e-4), True),
        (Bound("difference", 2e-4, 1e-4), False),
        (Bound("times", float("nan"), 7.0, at_least=True), False),
        (Bound("difference", float("nan"), 1e-4), False),
    ],
)
def test_a_bound_is_met_or_missed(bound: Bound, met: bool) -> None:
    assert bound.met is met
    assert str(bound).startswith("met" if met else "MISSED")


def test_only_a_check_fails_on_a_missed_bound(capsys: pytest.CaptureFixture[str]) -> None:
    met, missed = Bound("times", 8.0, 7.0, at_least=True), Bound("difference", 1.0, 1e-4)
    assert report(met).finish(None, check=True) == 0
    assert report(met, missed).finish(None, check=True) == 1
    assert report(met, missed).finish(None, check=False) == 0
    assert "MISSED: difference 1, must be <= 0.0001" in capsys.readouterr().out


def test_json_holds_all_that_was_printed_and_the_settings(tmp_path: Path) -> None:
    report(Bound("times", 8.0, 7.0, at_least=True)).finish(tmp_path / "new" / "speed.json", check=False)
    assert json.loads((tmp_path / "new" / "speed.json").read_text()) == {
        "benchmark": "speed",
        "machine": "a machine",
        "settings": {"seed": 0},
        "rows": [
            {"model": "small", "seconds": 1.0},
            {"model": "the large one", "seconds": 12.345},
            {"model": "none", "seconds": None},
        ],
        "bounds": [{"what": "times", "value": 8.0, "limit": 7.0, "at_least": True, "met": True}],
        "notes": ["one row was left out"],
    }

"""How the yardsticks of long sequences are held against what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.yardsticks import BATCHED, SINGLE, Row, bounds

UNEDITED = Row("unedited", 300, 0.37, 0.0, 0.36, 0.0, 0.66, None, None)
GOOD = Row(BATCHED, 300, 0.99, 0.97, 0.94, 0.40, 0.64, 0.1, 1.10)


def missed(part: str, last: Row, first: float = 0.98) -> list[str]:
    return [bound.what for bound in bounds(part, UNEDITED, last, first) if not bound.met]


def test_what_just_reaches_them_meets_all() -> None:
    assert missed(BATCHED, GOOD) == []
    assert missed(SINGLE, replace(GOOD, efficacy=0.95, perplexity=1.15)) == []


@pytest.mark.parametrize(
    ("change", "bound"),
    [
        ({"efficacy": 0.989}, "efficacy"),
        ({"efficacy_exact": 0.969}, "efficacy, argmax"),
        ({"generalisation": 0.939}, "generalisation"),
        ({"generalisation_exact": 0.399}, "generalisation, argmax"),
        ({"specificity": 0.639}, "specificity under the unedited model's"),
        ({"perplexity": 1.101}, "perplexity, times the unedited model's"),
        ({"perplexity": None}, "perplexity, times the unedited model's"),
    ],
)
def test_each_is_missed_alone(change: dict[str, float | None], bound: str) -> None:
    assert missed(BATCHED, replace(GOOD, **change)) == [bound]  # type: ignore[arg-type]


def test_the_oldest_facts_have_one_of_their_own() -> None:
    assert missed(BATCHED, GOOD, first=0.97) == ["efficacy of the first 100 facts"]


def test_one_at_a_time_is_held_to_two() -> None:
    found = missed(SINGLE, replace(GOOD, efficacy=0.94, perplexity=1.2))
    assert found == ["one at a time: efficacy", "one at a time: perplexity, times the unedited model's"]

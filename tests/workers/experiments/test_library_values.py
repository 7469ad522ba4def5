"""Our scores beside those of libraries."""

from __future__ import annotations

import math
from statistics import harmonic_mean

import pytest
from scipy import stats

from tests.workers.experiments.test_summary import BAD, GOOD, case
from workers.evaluation.fluency import ngram_entropy
from workers.experiments.summary import Share, Summary


@pytest.mark.parametrize(("good", "all_"), [(0, 1), (0, 10), (3, 7), (81, 263), (999, 1000), (12, 12)])
def test_intervals_are_scipys(good: int, all_: int) -> None:
    found = Share.of([1.0] * good + [0.0] * (all_ - good))
    assert found is not None
    interval = stats.binomtest(good, all_).proportion_ci(0.95, method="wilson")
    assert [interval.low, interval.high] == pytest.approx([found.low, found.high], abs=1e-7)


def test_entropy_of_n_grams_is_scipys() -> None:
    tokens = [1, 2, 3, 1, 2, 1, 2, 3, 3, 1, 2]
    bigrams = [4, 2, 2, 1, 1]  # 12, 23, 31; 21, 33
    trigrams = [2, 2, 1, 1, 1, 1, 1]  # 123, 312; 231, 121, 212, 233, 331
    entropies = [float(stats.entropy(counts, base=2)) for counts in (bigrams, trigrams)]
    assert ngram_entropy(tokens) == pytest.approx((2 / 3 * entropies[0] + 4 / 3 * entropies[1]) / 2)


def test_the_score_is_the_harmonic_mean_and_nothing_where_one_is_nothing() -> None:
    cases = [case(GOOD, (GOOD, BAD), (GOOD,)), case(BAD, (GOOD,), (GOOD, BAD, BAD))]
    assert Summary.of(cases, cases).score == pytest.approx(harmonic_mean([1 / 2, 3 / 4, 2 / 3]))
    assert Summary.of(cases, cases).score == pytest.approx(3 / (2 + 4 / 3 + 3 / 2))
    assert Summary.of([case(GOOD, (BAD,), (GOOD,))] * 2, [case(GOOD, (BAD,), (GOOD,))] * 2).score == 0.0


def test_magnitudes_are_differences_of_probabilities_a_token() -> None:
    found = Summary.of([case(GOOD), case(GOOD), case(BAD)], [case(GOOD)] * 3)
    assert found.efficacy.magnitude == pytest.approx((math.exp(-0.5) - math.exp(-2.0)) / 3)

"""Scores against values computed by hand."""

from __future__ import annotations

import math

import pytest

from workers.experiments.answers import Answered, CaseAnswers
from workers.experiments.summary import Share, Summary


def answered(
    nll: float, other: float | None, greedy: tuple[int, ...] = (1, 2), wanted: tuple[int, ...] = (1, 2)
) -> Answered:
    same = [one == two for one, two in zip(greedy, wanted, strict=True)]
    return Answered(nll=nll, other=other, exact=all(same), tokens=sum(same) / len(same), greedy=greedy)


GOOD, BAD = answered(0.5, 2.0), answered(2.0, 0.5, greedy=(1, 3))


class TestShares:
    @pytest.mark.parametrize(
        ("values", "low", "high"),
        [  # n / (n + z²) where all or none succeed; 81 of 263 is an example of Newcombe (1998)
            ([1.0] * 10, 0.7224672, 1.0),
            ([0.0] * 10, 0.0, 0.2775328),
            ([1.0] * 5 + [0.0] * 5, 0.2365931, 0.7634069),
            ([1.0] * 81 + [0.0] * 182, 0.2553, 0.3662),
        ],
    )
    def test_have_wilsons_interval(self, values: list[float], low: float, high: float) -> None:
        found = Share.of(values)
        assert found is not None
        assert [found.low, found.high] == pytest.approx([low, high], abs=5e-5)
        assert found.mean == pytest.approx(sum(values) / len(values))
        assert found.cases == len(values)

    def test_of_nothing_are_none(self) -> None:
        assert Share.of([]) is None


class TestAnswers:
    def test_succeed_by_the_likelier_object_a_token(self) -> None:
        assert (GOOD.success, BAD.success, answered(1.0, 1.0).success) == (True, False, False)
        assert GOOD.magnitude == pytest.approx(math.exp(-0.5) - math.exp(-2.0))

    def test_without_another_object_cannot_be_compared(self) -> None:
        assert (answered(1.0, None).success, answered(1.0, None).magnitude) == (None, None)


def case(own: Answered, paraphrases: tuple[Answered, ...] = (), neighbours: tuple[Answered, ...] = ()) -> CaseAnswers:
    return CaseAnswers(own=own, paraphrases=paraphrases, neighbours=neighbours)


class TestSummaries:
    def test_count_a_case_once_however_many_paraphrases_it_has(self) -> None:
        cases = [case(GOOD, (GOOD, GOOD, GOOD, BAD)), case(BAD, (BAD,)), case(GOOD)]
        found = Summary.of(cases, cases)
        assert found.generalisation is not None
        assert found.generalisation.success is not None
        assert found.generalisation.success.mean == pytest.approx((0.75 + 0.0) / 2)
        assert found.generalisation.success.cases == 2
        assert found.generalisation.tokens.mean == pytest.approx((0.875 + 0.5) / 2)
        assert found.efficacy.exact.mean == pytest.approx(2 / 3)
        magnitude = math.exp(-0.5) - math.exp(-2.0)
        assert found.efficacy.magnitude == pytest.approx((magnitude - magnitude + magnitude) / 3)

    def test_have_the_harmonic_mean_of_the_three_successes_as_their_score(self) -> None:
        cases = [case(GOOD, (GOOD,), (GOOD,)), case(GOOD, (BAD,), (GOOD,))]
        assert Summary.of(cases, cases).score == pytest.approx(3 / (1 / 1.0 + 1 / 0.5 + 1 / 1.0))

    def test_have_no_score_where_one_of_the_three_is_not_known(self) -> None:
        cases = [case(GOOD, (GOOD,))]
        found = Summary.of(cases, cases)
        assert (found.score, found.specificity, found.agreement) == (None, None, None)

    def test_agree_with_the_unedited_model_by_its_own_likeliest_tokens_right_or_not(self) -> None:
        after = [case(GOOD, (), (answered(1.0, None, greedy=(7, 8)), answered(1.0, None, greedy=(7, 9))))]
        before = [case(GOOD, (), (answered(1.0, None, greedy=(7, 8)), answered(1.0, None, greedy=(7, 8))))]
        found = Summary.of(after, before)
        assert found.agreement is not None
        assert found.agreement.mean == pytest.approx(0.75)

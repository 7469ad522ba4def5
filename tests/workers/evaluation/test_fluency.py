"""n-gram entropy, against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from workers.evaluation.fluency import ngram_entropy


def test_a_text_without_repetition_has_the_entropy_of_as_many_n_grams() -> None:
    bigrams, trigrams = math.log2(4), math.log2(3)
    assert ngram_entropy([1, 2, 3, 4, 5]) == pytest.approx((2 / 3 * bigrams + 4 / 3 * trigrams) / 2)


def test_one_token_again_and_again_has_none() -> None:
    assert ngram_entropy([7] * 40) == 0.0


def test_two_tokens_in_turn_have_a_bit_at_most() -> None:
    assert ngram_entropy([1, 2, 1, 2, 1]) == pytest.approx(
        (2 / 3 * 1.0 + 4 / 3 * (-2 / 3 * math.log2(2 / 3) - 1 / 3 * math.log2(1 / 3))) / 2
    )


@pytest.mark.parametrize("tokens", [[], [3]])
def test_what_is_too_short_for_a_pair_has_none(tokens: list[int]) -> None:
    assert ngram_entropy(tokens) == 0.0

"""Slices are whole groups in order, large ones first, none too small."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.spreading.cutting import LEAST, cut


@given(st.lists(st.integers(1, 30), min_size=1, max_size=300), st.integers(1, 9))
def test_every_piece_is_in_one_slice_in_order(sizes: list[int], workers: int) -> None:
    slices = cut(sizes, workers)
    assert [index for each in slices for index in each] == list(range(len(sizes)))
    assert all(len(each) > 0 for each in slices)


@given(st.integers(2 * LEAST, 2000), st.integers(1, 9))
def test_slices_shrink_and_none_is_too_small(facts: int, workers: int) -> None:
    held = [len(each) for each in cut([1] * facts, workers)]
    assert min(held) >= (LEAST if facts >= LEAST * workers else LEAST // 2)
    assert all(one >= other for one, other in pairwise(held[:-1]))
    assert len(held) == 1 or max(held) <= max(2 * LEAST, math.ceil(facts / workers))


@pytest.mark.parametrize(
    ("facts", "workers", "held"),
    [
        (200, 2, [90, 50, 27, 15, 18]),  # six of the last eighteen alone would take nearly as long as twelve
        (20, 2, [10, 10]),
        (16, 2, [8, 8]),
        (30, 9, [6, 6, 6, 6, 6]),
        (40, 2, [18, 22]),
        (11, 2, [11]),
    ],
)
def test_how_so_many_facts_are_cut(facts: int, workers: int, held: list[int]) -> None:
    assert [len(each) for each in cut([1] * facts, workers)] == held

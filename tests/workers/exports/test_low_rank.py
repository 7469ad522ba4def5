"""A change as factors: its own where it has some, the best ones of a rank otherwise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from workers.editing.model.updates import LowRank
from workers.exports.low_rank import Change, factored

ROWS, COLUMNS = 12, 20


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float32)


def test_its_own_factors_are_taken_as_they_are() -> None:
    own = LowRank(drawn(ROWS, 5), drawn(5, COLUMNS))
    found = factored(Change(own.dense, own), most_rank=5)
    assert torch.equal(found.left, own.left)
    assert torch.equal(found.right, own.right)
    assert (found.rank, found.cut) == (5, False)
    assert found.error < 1e-6


@pytest.mark.parametrize("most_rank", [4, ROWS])
def test_others_are_the_best_of_the_rank_that_is_allowed(most_rank: int) -> None:
    dense = drawn(ROWS, COLUMNS)
    found = factored(Change(dense, None), most_rank)
    values = torch.linalg.svdvals(dense.double())
    assert (found.rank, found.cut) == (most_rank, most_rank < ROWS)
    assert found.error == pytest.approx(float(values[most_rank:].norm() / values.norm()), abs=1e-6)
    assert float((found.left @ found.right - dense).norm() / dense.norm()) == pytest.approx(found.error, abs=1e-6)


def test_more_factors_than_the_matrix_needs_become_as_many_as_it_needs() -> None:
    thin = LowRank((8 * drawn(ROWS, 3)).round(), (8 * drawn(3, COLUMNS)).round())
    own = LowRank(thin.left.repeat(1, 8), thin.right.repeat(8, 1) / 8)  # no product of these is rounded, in any order
    assert torch.equal(own.dense, thin.dense)
    found = factored(Change(own.dense, own), most_rank=512)
    assert (found.rank, found.cut) == (3, False)
    assert found.error < 1e-6


def test_of_no_change_there_are_none() -> None:
    found = factored(Change(torch.zeros(ROWS, COLUMNS), None), most_rank=4)
    assert (found.rank, found.error, found.cut) == (0, 0.0, False)
    padded = found.padded(2)
    assert (padded.left.shape, padded.right.shape) == ((ROWS, 2), (2, COLUMNS))
    assert not (padded.left @ padded.right).any()

"""Theorem 4.1 on random matrices and on a model, and the solves that its Q is of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from workers.experiments.analyses.bound import bound, bound_of, product_norm
from workers.experiments.analyses.residuals import Kind, Residuals
from workers.experiments.analyses.workbench import Workbench


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("distance", [0, 1, 4])
def test_an_error_is_within_the_bound_of_any_linear_case(seed: int, distance: int) -> None:
    last = random(6, 3, seed=seed)
    computed = last if distance == 0 else random(6, 3, seed=seed + 100)
    spread, right = last / (distance + 1), random(3, 9, seed=seed + 200)
    error = float(torch.linalg.matrix_norm(computed @ right - spread @ right, 2))
    factor = float(torch.linalg.matrix_norm(right, 2))
    assert error <= bound_of(computed, last, spread, distance, factor) * (1 + 1e-9)
    assert (error == 0) == (distance == 0)


def test_the_bound_is_the_papers() -> None:
    computed, last = torch.diag(torch.tensor([5.0, 1.0])), torch.diag(torch.tensor([2.0, 3.0]))
    assert bound_of(computed, last, last / 3, 2, 0.5) == pytest.approx((3 + 2 * 1) * 0.5)


@pytest.mark.parametrize("shape", [(6, 3, 9), (4, 8, 5)])
def test_a_products_norm_is_taken_without_the_product(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    left, right = random(rows, inner, seed=1), random(inner, columns, seed=2)
    assert product_norm(left, right) == pytest.approx(float(torch.linalg.matrix_norm(left @ right, 2)))


def dense_right_factor(bench: Workbench, layer: int, keys: Tensor, previous: Tensor) -> Tensor:
    """K₁ᵀ(λC + K_pK_pᵀ + K₁K₁ᵀ)⁻¹ by an inverse."""
    ridge = bench.priors.ridges(bench.preset)[layer]
    gram = ridge * bench.priors.at(layer).second_moment + previous @ previous.T + keys @ keys.T
    found: Tensor = keys.T @ torch.linalg.inv(gram)
    return found


@pytest.mark.parametrize("before", [0, 2])
def test_q_is_of_the_keys_and_of_those_before(bench: Workbench, before: int) -> None:
    keys = bench.keys(bench.live, 1, slice(None))
    found = bench.right_factor(1, keys[:, before:], keys[:, :before])
    expected = dense_right_factor(bench, 1, keys[:, before:], keys[:, :before])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8 * float(expected.abs().max()) + 1e-9)


def test_a_layer_is_written_with_its_residual_times_q(bench: Workbench, residuals: Residuals) -> None:
    shadow, part = bench.live.shadow([1]), slice(1, 3)
    residual = residuals.at(1, Kind.EVEN)[:, part]
    bench.write(shadow, 1, part, residual)
    keys = bench.keys(bench.live, 1, part)
    expected = residual @ dense_right_factor(bench, 1, keys, keys[:, :0])
    found = (shadow.master(1) - bench.live.master(1)).double()
    assert float((found - expected).norm() / expected.norm()) < 1e-4


def test_every_shift_of_a_model_is_within_its_bound(bench: Workbench, residuals: Residuals) -> None:
    found = bound(bench, residuals)
    assert {(each.layer, each.distance, each.facts) for each in found.by_size} == {
        (layer, 2 - layer, facts) for layer in (0, 1, 2) for facts in (1, 2, 4)
    }
    assert {(each.layer, each.facts, each.previous) for each in found.by_place} == {
        (layer, 1, previous) for layer in (0, 1, 2) for previous in range(4)
    }
    for each in (*found.by_size, *found.by_place):
        assert (each.error == pytest.approx(0, abs=1e-9)) == (each.distance == 0)
        assert each.error <= each.bound * (1 + 1e-9)
    keys = bench.keys(bench.live, 0, slice(None))
    right = dense_right_factor(bench, 0, keys, keys[:, :0])
    whole = next(each for each in found.by_size if (each.layer, each.facts) == (0, 4))
    wrong = residuals.computed[0] - residuals.last / 3
    assert whole.error == pytest.approx(float(torch.linalg.matrix_norm(wrong @ right, 2)), rel=1e-4)

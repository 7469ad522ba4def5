"""Every solver against its own equation, in float64, over shapes, scales and condition numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from app.domain.errors import UnknownMethod
from tests.support.editing.families import relative
from workers.editing.algebra.layer_base import LayerBase
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.methods import METHODS, alphaedit, find_method
from workers.editing.presets.preset import Preset
from workers.editing.types import LayerPrior, empty_keys

WITH_PREVIOUS_KEYS = ("memit", "alphaedit")
"""PRUNE and PMET solve as MEMIT does."""

THRESHOLD = 0.5
"""Between the eigenvalues of the free and of the occupied directions, relative to the largest."""


@dataclass(frozen=True)
class Problem:
    """One solve: keys K (d_in, n), residual R (d_out, n), C (d_in, d_in), K_p (d_in, m)."""

    keys: Tensor
    residual: Tensor
    second_moment: Tensor
    previous: Tensor
    preset: Preset

    @property
    def prior(self) -> LayerPrior:
        return LayerPrior(
            LayerBase.of(self.second_moment), PreviousKeys.empty(len(self.previous)).append(self.previous)
        )

    @property
    def projector(self) -> Tensor:
        """P (d_in, d_in)."""
        values, vectors = torch.linalg.eigh(self.second_moment)
        free: Tensor = vectors[:, values < self.preset.nullspace_threshold]
        return free @ free.T

    @property
    def gram(self) -> Tensor:
        """K_p K_pᵀ + K Kᵀ."""
        return self.previous @ self.previous.T + self.keys @ self.keys.T

    def update(self, method: str) -> Tensor:
        found = find_method(method)
        assert found.right_factor is not None
        return self.residual @ found.right_factor(self.keys, found.respected(self.prior, self.preset), self.preset)

    def but(self, **hyperparameters: float | bool) -> Problem:
        """The same with other hyperparameters."""
        return replace(self, preset=self.preset.with_overrides(hyperparameters))


@st.composite
def problems(draw: st.DrawFn, largest_condition: float = 8.0) -> Problem:
    """C of a condition number up to 10^largest_condition; everything at one scale of 1e-3 to 1e3."""
    width, out = draw(st.integers(2, 24)), draw(st.integers(1, 12))
    facts, before = draw(st.integers(1, 8)), draw(st.integers(0, 30))
    condition, scale = draw(st.floats(0, largest_condition)), 10.0 ** draw(st.integers(-3, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    rotation = torch.linalg.qr(normal(width, width)).Q
    values = torch.logspace(-condition, 0, width, dtype=torch.float64)
    moment = (rotation * values) @ rotation.T * scale**2
    preset = Preset(
        (0,), mom2_update_weight=10.0 ** draw(st.integers(-1, 4)), L2=scale**2, nullspace_threshold=THRESHOLD * scale**2
    )
    keys, previous = normal(width, facts) * scale, normal(width, before) * scale
    return Problem(keys, normal(out, facts), (moment + moment.T) / 2, previous, preset)


def memit_matrix(problem: Problem) -> Tensor:
    """λC + K_p K_pᵀ + K Kᵀ."""
    return problem.preset.mom2_update_weight * problem.second_moment + problem.gram


class TestMemit:
    @settings(max_examples=150, deadline=None)
    @given(problems(largest_condition=4.0))
    def test_it_solves_its_normal_equations(self, problem: Problem) -> None:
        """Δ (λC + K_pK_pᵀ + KKᵀ) = R Kᵀ."""
        right_side = problem.residual @ problem.keys.T
        assert relative(problem.update("memit") @ memit_matrix(problem), right_side) <= 1e-9

    @settings(max_examples=150, deadline=None)
    @given(problems())
    def test_it_is_backward_stable_however_ill_conditioned_the_statistics(self, problem: Problem) -> None:
        update, matrix = problem.update("memit"), memit_matrix(problem)
        error = (update @ matrix - problem.residual @ problem.keys.T).norm()
        assert error <= 1e-13 * update.norm() * matrix.norm()

    @settings(max_examples=50, deadline=None)
    @given(problems(largest_condition=2.0))
    def test_it_minimises_its_objective(self, problem: Problem) -> None:
        """λ tr(ΔCΔᵀ) + ‖ΔK_p‖² + ‖ΔK - R‖² grows in every direction away from the update."""
        update = problem.update("memit")

        def objective(change: Tensor) -> float:
            kept = problem.preset.mom2_update_weight * torch.trace(change @ problem.second_moment @ change.T)
            misses = (change @ problem.previous).norm() ** 2 + (change @ problem.keys - problem.residual).norm() ** 2
            return float(kept + misses)

        away = torch.ones_like(update) * 1e-3 * update.norm()
        assert objective(update) <= min(objective(update + away), objective(update - away))


class TestAlphaEdit:
    @settings(max_examples=150, deadline=None)
    @given(problems())
    def test_the_update_stays_in_the_null_space(self, problem: Problem) -> None:
        """Δ (I - P) = 0."""
        update = problem.update("alphaedit")
        assert float((update - update @ problem.projector).norm()) <= 1e-12 * float(update.norm())

    @settings(max_examples=150, deadline=None)
    @given(problems())
    def test_it_equals_the_papers_form(self, problem: Problem) -> None:
        """R KᵀP ((K_pK_pᵀ + KKᵀ)P + αI)⁻¹, which is not symmetric."""
        projector = problem.projector
        ridge = problem.preset.L2 * torch.eye(len(projector), dtype=projector.dtype)
        left_side, right_side = problem.gram @ projector + ridge, problem.residual @ problem.keys.T @ projector
        expected = torch.linalg.solve(left_side, right_side, left=False)
        assert float((problem.update("alphaedit") - expected).norm()) <= 1e-9 * float(expected.norm()) + 1e-300

    def test_no_free_direction_means_no_update(self) -> None:
        moment = torch.eye(6, dtype=torch.float64)
        prior = LayerPrior(LayerBase.of(moment), PreviousKeys.empty(6))
        keys = torch.randn(6, 2, dtype=torch.float64)
        found = alphaedit.right_factor(keys, prior, Preset((0,)))
        assert torch.equal(found, torch.zeros(2, 6, dtype=torch.float64))


class TestPreviousKeys:
    @pytest.mark.parametrize("method", WITH_PREVIOUS_KEYS)
    @settings(max_examples=30, deadline=None)
    @given(problems(largest_condition=2.0))
    def test_none_is_the_same_as_keys_of_zero(self, method: str, problem: Problem) -> None:
        width = len(problem.second_moment)
        without = Problem(problem.keys, problem.residual, problem.second_moment, empty_keys(width), problem.preset)
        zeros = torch.zeros(width, 3, dtype=torch.float64)
        silent = Problem(problem.keys, problem.residual, problem.second_moment, zeros, problem.preset)
        update = without.update(method)
        assert float((silent.update(method) - update).norm()) <= 1e-10 * float(update.norm())

    @pytest.mark.parametrize("method", WITH_PREVIOUS_KEYS)
    @settings(max_examples=30, deadline=None)
    @given(problems(largest_condition=2.0))
    def test_their_order_does_not_matter(self, method: str, problem: Problem) -> None:
        turned = Problem(
            problem.keys, problem.residual, problem.second_moment, problem.previous.flip(1), problem.preset
        )
        update = problem.update(method)
        assert float((turned.update(method) - update).norm()) <= 1e-9 * float(update.norm())

    @pytest.mark.parametrize("method", WITH_PREVIOUS_KEYS)
    def test_a_key_of_before_is_disturbed_less_when_it_is_known(self, method: str) -> None:
        generator = torch.Generator().manual_seed(3)
        keys = torch.randn(12, 2, dtype=torch.float64, generator=generator)
        previous = keys[:, :1] + 0.3 * torch.randn(12, 1, dtype=torch.float64, generator=generator)
        moment = torch.diag(torch.linspace(1e-3, 1, 12, dtype=torch.float64))
        residual, preset = torch.ones(4, 2, dtype=torch.float64), Preset((0,), mom2_update_weight=1.0, L2=0.1)
        knowing = Problem(keys, residual, moment, previous, preset.with_overrides({"nullspace_threshold": 0.9}))
        ignorant = Problem(keys, residual, moment, empty_keys(12), knowing.preset)
        moved = [float((problem.update(method) @ previous).norm()) for problem in (knowing, ignorant)]
        assert moved[0] < 0.7 * moved[1]

    @settings(max_examples=30, deadline=None)
    @given(problems(largest_condition=2.0))
    def test_rect_does_not_look_at_them(self, problem: Problem) -> None:
        width = len(problem.second_moment)
        without = Problem(problem.keys, problem.residual, problem.second_moment, empty_keys(width), problem.preset)
        assert torch.equal(problem.update("rect"), without.update("memit"))

    @pytest.mark.parametrize("method", ["memit", "alphaedit", "rect", "prune", "pmet"])
    @settings(max_examples=20, deadline=None)
    @given(problems(largest_condition=2.0))
    def test_a_preset_decides_whether_a_solve_knows_them(self, method: str, problem: Problem) -> None:
        alone = replace(problem, previous=empty_keys(len(problem.second_moment)))
        as_ever = alone.update(method)
        assert all(torch.equal(alone.but(history=said).update(method), as_ever) for said in (True, False))
        assert torch.equal(problem.but(history=False).update(method), as_ever)
        solver = "alphaedit" if method == "alphaedit" else "memit"
        assert torch.equal(problem.but(history=True).update(method), problem.update(solver))


class TestTheUpdatesNorm:
    """ENCORE's λ_n."""

    @settings(max_examples=100, deadline=None)
    @given(problems(largest_condition=4.0), st.floats(1e-3, 1e3))
    def test_it_stands_in_the_normal_equations(self, problem: Problem, weight: float) -> None:
        """Δ (λC + K_pK_pᵀ + KKᵀ + λ_n I) = R Kᵀ."""
        update = problem.but(update_norm_lambda=weight).update("memit")
        matrix = memit_matrix(problem) + weight * torch.eye(len(problem.second_moment), dtype=torch.float64)
        assert relative(update @ matrix, problem.residual @ problem.keys.T) <= 1e-9

    def test_values_by_hand(self) -> None:
        """One key e₁ and C = I: Δ = R e₁ᵀ / (λ + 1 + λ_n), 6 / (2 + 1 + 3)."""
        moment, key = torch.eye(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[:, :1]
        preset = Preset((0,), mom2_update_weight=2.0, update_norm_lambda=3.0)
        problem = Problem(key, torch.full((1, 1), 6.0, dtype=torch.float64), moment, empty_keys(3), preset)
        assert torch.allclose(problem.update("memit"), torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64))
        assert torch.equal(moment, torch.eye(3, dtype=torch.float64)), "statistics are only read"

    def test_a_second_moment_of_too_few_tokens_is_solved_in_dual_form(self) -> None:
        base = LayerBase.of(torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64)))
        assert base.loaded(0.0) is None
        assert (first := base.loaded(0.5)) is not None
        assert base.loaded(0.5) is first
        assert base.loaded(0.25) is not first


@pytest.mark.parametrize("method", [*WITH_PREVIOUS_KEYS, "rect", "rome"])
@settings(max_examples=30, deadline=None)
@given(problems(largest_condition=2.0))
def test_an_update_is_linear_in_its_residual(method: str, problem: Problem) -> None:
    double = Problem(problem.keys, 2 * problem.residual, problem.second_moment, problem.previous, problem.preset)
    assert torch.allclose(double.update(method), 2 * problem.update(method), rtol=1e-12, atol=0)


def test_an_unknown_method_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(UnknownMethod) as caught:
        find_method("grace")
    assert (caught.value.field, caught.value.value) == ("method", "grace")
    assert all(name in caught.value.detail for name in METHODS)

"""A plan says which layers change, toward whose targets, and with what share of the residual."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import UnknownPlan
from workers.editing.layer_plans import PLANS, LayerStep, boundary_layers, even_spread, find_plan, sqrt_spread

RISING = st.lists(st.integers(0, 79), min_size=1, max_size=10, unique=True).map(sorted)


@given(RISING)
def test_boundary_changes_the_first_and_the_last_layer_toward_targets_of_their_own(layers: list[int]) -> None:
    ends = sorted({layers[0], layers[-1]})
    assert boundary_layers(layers) == [LayerStep(layer, layer, 1.0) for layer in ends]


@given(RISING)
def test_even_changes_every_layer_toward_the_last_ones_targets(layers: list[int]) -> None:
    steps = even_spread(layers)
    assert [step.layer for step in steps] == layers
    assert {step.target_layer for step in steps} == {layers[-1]}


@given(RISING)
def test_even_shares_leave_nothing_of_the_residual(layers: list[int]) -> None:
    """If every step reached its share, the last would close what is left: 1/n of the whole each."""
    left, taken = 1.0, []
    for step in even_spread(layers):
        taken.append(left * step.share)
        left -= taken[-1]
    assert math.isclose(left, 0.0, abs_tol=1e-12)
    assert all(math.isclose(part, 1 / len(layers)) for part in taken)


@given(RISING)
def test_sqrt_goes_the_even_plans_way_with_the_square_root_of_every_share(layers: list[int]) -> None:
    steps, even = sqrt_spread(layers), even_spread(layers)
    assert [(step.layer, step.target_layer) for step in steps] == [(step.layer, step.target_layer) for step in even]
    assert [step.share for step in steps] == [
        pytest.approx(1 / math.sqrt(len(layers) - position)) for position in range(len(layers))
    ]


@given(RISING)
def test_the_last_step_of_every_plan_takes_all_that_is_left(layers: list[int]) -> None:
    assert {find_plan(name)(layers)[-1].share for name in PLANS} == {1.0}


@pytest.mark.parametrize("name", PLANS)
def test_a_single_critical_layer_takes_all(name: str) -> None:
    assert find_plan(name)([7]) == [LayerStep(7, 7, 1.0)]


def test_an_unknown_plan_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(UnknownPlan) as caught:
        find_plan("sideways")
    assert (caught.value.field, caught.value.value) == ("plan", "sideways")
    assert all(name in caught.value.detail for name in PLANS)

"""A plan says which layers change, toward whose targets, and with what share of the residual."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import UnknownPlan
from workers.editing.layer_plans import PLANS, boundary_layers, even_spread, find_plan
from workers.editing.types import LayerStep

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


@pytest.mark.parametrize("name", PLANS)
def test_a_single_critical_layer_takes_all(name: str) -> None:
    assert find_plan(name)([7]) == [LayerStep(7, 7, 1.0)]


def test_an_unknown_plan_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(UnknownPlan) as caught:
        find_plan("sideways")
    assert (caught.value.field, caught.value.value) == ("plan", "sideways")
    assert all(name in caught.value.detail for name in PLANS)

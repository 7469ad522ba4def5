"""Means over facts, and the layers around their peak."""

from __future__ import annotations

import pytest
import torch

from workers.causal_tracing.critical import averaged, critical_layers
from workers.causal_tracing.recall import Recalled, Role
from workers.causal_tracing.tracer import Site, Trace


def test_a_fact_counts_once_in_a_role_however_many_tokens_it_has_there() -> None:
    def traced(ids: int, effect: float) -> Trace:
        effects = torch.full((ids, 2), effect, dtype=torch.float64)
        return Trace(Recalled(tuple(range(ids)), 0, 1, 0), 0.9, 0.1, dict.fromkeys(Site, effects))

    means, of_role = averaged([traced(8, 0.2), traced(4, 0.4), traced(3, 0.9)])
    assert of_role[Role.FURTHER] == 2
    assert of_role[Role.MIDDLE_SUBJECT] == 0
    assert means[Site.MLP][Role.FURTHER] == pytest.approx((0.3, 0.3))
    assert Role.MIDDLE_SUBJECT not in means[Site.MLP]


@pytest.mark.parametrize(
    ("effects", "layers"),
    [
        ([0.1, 0.3, 0.5, 0.6, 0.4, 0.2], (1, 2, 3, 4)),
        ([0.9, 0.1, 0.8], (0,)),  # 2 is not beside the peak
        ([0.0, 0.0, 0.2], (2,)),
    ],
)
def test_critical_layers_lie_around_the_peak(effects: list[float], layers: tuple[int, ...]) -> None:
    assert critical_layers(effects, 0.9) == layers


@pytest.mark.parametrize("effects", [[0.0, 0.02, 0.01], [-0.1, 0.0, -0.2]])
def test_none_is_critical_where_none_brings_the_fact_back(effects: list[float]) -> None:
    assert critical_layers(effects, 0.9) == ()

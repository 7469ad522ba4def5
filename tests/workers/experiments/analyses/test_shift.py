"""Shifts of states, and the plane that they are looked at in."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from workers.experiments.analyses.plane import plane_of, principal
from workers.experiments.analyses.shift import in_sequence, last_states, moved
from workers.experiments.analyses.workbench import Workbench


def test_states_that_all_move_by_one_vector_move_with_their_centre() -> None:
    before = torch.tensor([[3.0, 4.0], [0.0, 5.0]], dtype=torch.float64)
    found = moved(before, before + torch.tensor([0.3, 0.4]))
    assert (found.states, found.centre) == pytest.approx((0.1, 0.1))
    assert found.kept == pytest.approx((1 + (0.3 * 0 + 5.4 * 5) / (5 * torch.tensor([0.3, 5.4]).norm().item())) / 2)


def test_states_that_move_against_each_other_leave_their_centre() -> None:
    before = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = moved(before, torch.tensor([[1.5, 0.0], [-0.5, 1.0]]))
    assert (found.states, found.centre) == pytest.approx((0.5, 0.0))


def test_states_are_those_after_a_block_at_the_last_token(bench: Workbench) -> None:
    rows = [bench.live.tokenizer(prompt).input_ids for prompt in ("The capital of France is", "Lyon")]
    found = last_states(bench.live, rows, 1)
    for row, states in zip(rows, found, strict=True):
        with torch.inference_mode():
            every = bench.live.model(input_ids=torch.tensor([row]), output_hidden_states=True).hidden_states
        torch.testing.assert_close(states, every[2][0, -1].double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("plan", "layers"), [("even", [0, 1, 2]), ("boundary", [0, 2])])
def test_a_sequence_changes_the_plans_layers_of_a_shadow_alone(bench: Workbench, plan: str, layers: list[int]) -> None:
    before = [bench.live.weight(layer).clone() for layer in range(bench.live.depth)]
    edited = in_sequence(bench, plan)
    changed = [layer for layer, weight in enumerate(before) if not torch.equal(edited.weight(layer), weight)]
    assert changed == layers
    assert all(torch.equal(bench.live.weight(layer), weight) for layer, weight in enumerate(before))


def test_the_plane_of_principal_components_keeps_distances_within_a_plane() -> None:
    flat = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0], [9.0, -1.0]], dtype=torch.float64)
    turned = flat @ torch.linalg.qr(torch.randn(5, 2, dtype=torch.float64)).Q.T + 7
    torch.testing.assert_close(torch.cdist(principal(turned), principal(turned)), torch.cdist(flat, flat))


def test_the_plane_keeps_sets_that_lie_apart_apart() -> None:
    drawn = torch.randn(24, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = plane_of({"here": drawn[:12], "there": drawn[12:] + 50}, seed=0)
    assert found.way == ("t-SNE" if importlib.util.find_spec("sklearn") else "principal components")
    here, there = (torch.tensor(found.points[name]) for name in ("here", "there"))
    assert here.shape == there.shape == (12, 2)
    assert torch.cdist(here, there).min() > torch.cdist(here, here).max()

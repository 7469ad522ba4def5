"""Residuals, and what is made of them, against the engine and against what must hold of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from workers.editing.descent.targets import descended
from workers.editing.editor import edit
from workers.editing.lookup import TokenisedFact
from workers.editing.model.editable_model import EditableModel
from workers.editing.objective import AT_THE_BLOCK
from workers.editing.types import Silent
from workers.experiments.analyses.contribution import contributions, probability, simulated
from workers.experiments.analyses.residuals import Kind, Residuals
from workers.experiments.analyses.similarity import cosines, similarity
from workers.experiments.analyses.workbench import Workbench

FIRST, LAST = 0, 2


def test_no_two_facts_share_a_key_and_unusable_records_are_counted(bench: Workbench) -> None:
    chosen = bench.chosen
    assert [case.record for case in chosen.cases] == [0, 2, 4, 5]
    assert (chosen.unusable, chosen.sharing) == (0, 1)
    assert len(chosen.others) == 8


def test_the_last_layers_residual_is_the_one_that_the_engine_solves_for(bench: Workbench, residuals: Residuals) -> None:
    preset, shadow = replace(bench.preset, layers=(LAST,)), bench.live.shadow([LAST])
    priors = {LAST: bench.priors.at(LAST, ridge=bench.priors.ridges(preset)[LAST])}
    [update] = edit(shadow, bench.chosen.facts, preset, priors, bench.contexts).updates
    torch.testing.assert_close(update.left.double(), residuals.last, rtol=1e-4, atol=1e-4)


def test_the_first_layers_residual_is_the_one_that_blue_begins_with(bench: Workbench, residuals: Residuals) -> None:
    preset, shadow = bench.presets["boundary"], bench.live.shadow(bench.layers)
    ridges = bench.priors.ridges(preset)
    priors = {layer: bench.priors.at(layer, ridge=ridge) for layer, ridge in ridges.items()}
    first, _ = edit(shadow, bench.chosen.facts, preset, priors, bench.contexts).updates
    torch.testing.assert_close(first.left.double(), residuals.computed[FIRST], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "even", "sqrt"), [(0, 1 / 3, 1 / math.sqrt(3)), (1, 1 / 2, 1 / math.sqrt(2)), (2, 1.0, 1.0)]
)
def test_a_spread_divides_the_last_residual_by_the_layers_left(
    layer: int, even: float, sqrt: float, residuals: Residuals
) -> None:
    torch.testing.assert_close(residuals.at(layer, Kind.EVEN), residuals.last * even)
    torch.testing.assert_close(residuals.at(layer, Kind.SQRT), residuals.last * sqrt)
    assert residuals.at(layer, Kind.COMPUTED) is residuals.computed[layer]


def test_residuals_are_read_as_they_were_written(residuals: Residuals, tmp_path: Path) -> None:
    residuals.save(tmp_path / "kept")
    again = Residuals.read(tmp_path / "kept", torch.device("cpu"))
    assert list(again.computed) == list(again.steps) == [0, 1, 2]
    assert all(torch.equal(again.computed[layer], found) for layer, found in residuals.computed.items())
    assert all(torch.equal(again.steps[layer], found) for layer, found in residuals.steps.items())


def test_steps_are_those_in_which_a_fact_was_not_done(bench: Workbench, residuals: Residuals) -> None:
    class Counted(Silent):
        running = 0

        def targets(self, layer: int, step: int, steps: int, loss: float, done: int, facts: int) -> None:
            self.running += facts - done

    watch, facts = Counted(), bench.chosen.tokenised
    preset = replace(bench.preset, v_num_grad_steps=25, v_weight_decay=0.0)
    found = descended(bench.live, facts, bench.groups, FIRST, AT_THE_BLOCK, preset, watch)
    assert int(found.steps.sum()) == watch.running
    assert 0 < int(found.steps.min()) < 24
    assert int(residuals.steps[LAST].max()) == 9  # the last one of ten passes would only measure


@torch.inference_mode()
def by_hand(model: EditableModel, fact: TokenisedFact, layer: int, residual: Tensor) -> float:
    """The object's probability, its tokens one after another, with the residual added in place."""
    found, ids = 1.0, list(fact.prompts[0].ids)

    def add(_module: object, _given: object, output: Tensor | tuple[Tensor, ...]) -> None:
        (output[0] if isinstance(output, tuple) else output)[0, fact.prompts[0].lookup] += residual.float()

    handle = model.block(layer).register_forward_hook(add)
    try:
        for token in fact.object:
            found *= float(model.model(input_ids=torch.tensor([ids])).logits[0, -1].softmax(-1)[token])
            ids.append(token)
    finally:
        handle.remove()
    return found


class TestSimulatedEdits:
    @pytest.mark.parametrize("layer", [0, 1, 2])
    def test_add_the_residual_at_the_lookup_token(self, layer: int, bench: Workbench, residuals: Residuals) -> None:
        for fact, residual in zip(bench.chosen.tokenised, residuals.computed[layer].T, strict=True):
            expected = by_hand(bench.live, fact, layer, residual)
            assert simulated(bench.live, fact, layer, residual) == pytest.approx(expected, rel=1e-4)

    def test_leave_the_model_as_it_was(self, bench: Workbench, residuals: Residuals) -> None:
        fact = bench.chosen.tokenised[0]
        before = probability(bench.live, fact)
        after = simulated(bench.live, fact, FIRST, residuals.computed[FIRST][:, 0])
        assert after > 2 * before
        assert probability(bench.live, fact) == before

    def test_of_no_residual_contribute_nothing(self, bench: Workbench, residuals: Residuals) -> None:
        fact = bench.chosen.tokenised[0]
        nothing = torch.zeros_like(residuals.last[:, 0])
        assert simulated(bench.live, fact, 1, nothing) == pytest.approx(probability(bench.live, fact), rel=1e-6)

    def test_contribute_alike_at_the_last_layer_and_most_with_computed_residuals_before(
        self, bench: Workbench, residuals: Residuals
    ) -> None:
        found = contributions(bench, residuals)
        assert found.scores[Kind.EVEN][LAST] == found.scores[Kind.SQRT][LAST] == found.scores[Kind.COMPUTED][LAST]
        assert found.means(Kind.COMPUTED)[FIRST] > 2 * found.means(Kind.EVEN)[FIRST]
        assert all(
            0 <= before + score <= 1 for before, score in zip(found.before, found.scores[Kind.EVEN][FIRST], strict=True)
        )


class TestSimilarity:
    def test_a_residual_is_like_itself(self, residuals: Residuals) -> None:
        found = similarity(residuals)
        assert found.cosines[LAST] == pytest.approx((1.0,) * 4)
        assert found.distances[LAST] == (0.0,) * 4
        assert found.spectral[LAST] == 0.0
        assert found.mean_cosines[FIRST] < 0.99

    def test_is_that_of_the_vectors(self) -> None:
        last = torch.tensor([[3.0, 0.0], [4.0, 2.0]], dtype=torch.float64)
        first = torch.tensor([[0.0, 0.0], [5.0, -2.0]], dtype=torch.float64)
        found = similarity(Residuals({0: first, 3: last}, {}))
        assert found.cosines[0] == pytest.approx((0.8, -1.0))
        assert found.distances[0] == pytest.approx((math.sqrt(10), 4.0))
        assert found.norms[0] == pytest.approx((5.0, 2.0))
        assert found.spectral[0] == pytest.approx(float(torch.tensor([[3.0, 0.0], [-1.0, 4.0]]).svd().S[0]))

    def test_a_residual_of_zero_has_no_direction(self) -> None:
        one = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
        assert cosines(one, torch.ones(2, 2)) == pytest.approx((math.sqrt(0.5),))

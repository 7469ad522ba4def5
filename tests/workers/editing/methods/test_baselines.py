"""ROME and FT-L: what their equations promise, and one layer whatever the plan."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from app.domain.errors import LayerOutOfRange, NonFiniteUpdate, StatisticsMismatch
from tests.support.editing.families import (
    CONTEXTS,
    FACTS,
    INNER,
    editable,
    random_priors,
    random_second_moment,
    relative,
)
from tests.support.editing.remembering import Witness
from workers.editing.algebra.layer_base import LayerBase
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.batch import tokenise_batch
from workers.editing.editor import edit
from workers.editing.keys import keys_at, outputs_at
from workers.editing.layer_plans import PLANS
from workers.editing.methods import ft_l, rome
from workers.editing.model.anatomy import Site
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource, plan_layers
from workers.editing.statistics import Statistics
from workers.editing.types import LayerPrior

LAYERS = (0, 1)


def preset(method: str, **more: float) -> Preset:
    settings = {"v_num_grad_steps": 4, "num_steps": 4, "lr": 0.01, "norm_constraint": 0.02, "clamp_norm_factor": 4.0}
    return Preset(LAYERS, method=method).with_overrides({**settings, **more})


@pytest.fixture
def live(tokenizer: PreTrainedTokenizerFast) -> EditableModel:
    return editable("gpt2", tokenizer)


class TestRomesEquation:
    def rank_one(self, residual: Tensor, key: Tensor, moment: Tensor, **more: bool) -> Tensor:
        """(d_out, d_in)."""
        prior = LayerPrior(LayerBase.of(moment), PreviousKeys.empty(len(key)))
        return residual @ rome.right_factor(key, prior, Preset((0,)).with_overrides(more))

    def test_the_key_gives_its_value(self) -> None:
        key, residual = torch.randn(INNER, 1, dtype=torch.float64), torch.randn(8, 1, dtype=torch.float64)
        assert torch.allclose(self.rank_one(residual, key, random_second_moment(INNER)) @ key, residual, rtol=1e-12)

    def test_of_all_changes_that_do_it_moves_the_corpus_least(self) -> None:
        """tr(Δ C Δᵀ) grows with whatever is added that leaves the key's value alone."""
        key, residual = torch.randn(INNER, 1, dtype=torch.float64), torch.randn(8, 1, dtype=torch.float64)
        moment = random_second_moment(INNER)
        update = self.rank_one(residual, key, moment)
        other = torch.randn(8, INNER, dtype=torch.float64)
        other -= other @ key @ key.T / (key.T @ key)
        for scale in (1e-3, -1e-3):
            changed = update + scale * other
            assert torch.allclose(changed @ key, residual)
            assert torch.trace(changed @ moment @ changed.T) > torch.trace(update @ moment @ update.T)

    def test_without_adjustment_all_directions_cost_the_same(self) -> None:
        key, residual = torch.randn(INNER, 1, dtype=torch.float64), torch.randn(8, 1, dtype=torch.float64)
        found = self.rank_one(residual, key, random_second_moment(INNER), mom2_adjustment=False)
        assert relative(found, residual @ torch.linalg.pinv(key)) <= 1e-12


class TestFactsOneAfterAnother:
    def test_a_batch_is_its_facts_edited_singly(self, live: EditableModel) -> None:
        together, singly = live.shadow(LAYERS), live.shadow(LAYERS)
        priors = random_priors(live, LAYERS)
        whole = edit(together, FACTS, preset("rome"), priors, CONTEXTS)
        for fact in FACTS:
            edit(singly, [fact], preset("rome"), priors, CONTEXTS)
        assert relative(together.weight(1) - live.weight(1), singly.weight(1) - live.weight(1)) <= 1e-9
        assert [update.layer for update in whole.updates] == [1]
        assert whole.updates[0].left.shape[1] == whole.updates[0].keys.shape[1] == len(FACTS)
        assert whole.columns == (0, 1, 2, 3)

    def test_the_last_fact_is_left_at_its_target(self, live: EditableModel) -> None:
        """Alone it reaches it but for what the contexts add to its key."""
        shadow = live.shadow(LAYERS)
        bare = CONTEXTS[:1]
        update = edit(shadow, FACTS[:2], preset("rome"), random_priors(live, LAYERS), bare).updates[0]
        facts = tokenise_batch(shadow, FACTS[1:2], bare)
        alone = live.shadow(LAYERS)
        edit(alone, FACTS[:1], preset("rome"), random_priors(live, LAYERS), bare)
        moved = outputs_at(shadow, facts, 1, 4096, Site.DOWN_PROJECTION)
        moved -= outputs_at(alone, facts, 1, 4096, Site.DOWN_PROJECTION)
        assert relative(moved, update.left[:, 1:]) <= 1e-9
        assert relative(keys_at(shadow, facts, 1, 4096), update.keys[:, 1:]) <= 1e-12

    def test_progress_counts_all_facts(self, live: EditableModel) -> None:
        witness = Witness()
        edit(live.shadow(LAYERS), FACTS, preset("rome"), random_priors(live, LAYERS), CONTEXTS, observer=witness)
        steps = [step for _, step, *_ in witness.heard]
        assert steps == sorted(steps)
        assert steps[-1] <= 4 * len(FACTS)
        assert {(of, facts) for _, _, of, _, _, facts in witness.heard} == {(4 * len(FACTS), len(FACTS))}
        assert witness.heard[-1][4] >= len(FACTS) - 1, "all but the last fact are done"
        assert witness.solved == [1]


class TestFineTuning:
    def test_no_entry_leaves_the_bound(self) -> None:
        aim = torch.randn(5, 7, dtype=torch.float64)

        def loss(change: Tensor) -> float:
            distance = ((change - aim) ** 2).sum()
            distance.backward()  # type: ignore[no-untyped-call]
            return float(distance.detach())

        found = ft_l.tune(loss, aim, preset("ft-l", num_steps=400, norm_constraint=0.3))
        assert torch.allclose(found, aim.clamp(-0.3, 0.3), atol=0.02)
        assert float(found.abs().max()) <= 0.3

    def test_it_stops_when_the_objects_are_likely_enough(self) -> None:
        seen = []

        def loss(change: Tensor) -> float:
            change.grad = torch.ones_like(change)
            seen.append(change.detach().clone())
            return 0.1 / len(seen)

        found = ft_l.tune(loss, torch.zeros(2, 3), preset("ft-l", num_steps=100, norm_constraint=10.0))
        assert len(seen) == 11, "0.1 / 11 is the first below 1e-2"
        assert torch.equal(found, seen[-1])

    def test_objects_become_likelier_step_by_step(self, live: EditableModel) -> None:
        witness = Witness()
        update = edit(live.shadow(LAYERS), FACTS, preset("ft-l", num_steps=8), {}, CONTEXTS, observer=witness).updates
        losses = [loss for _, _, _, loss, *_ in witness.heard]
        assert len(losses) == 8
        assert losses[-1] < losses[0] - 0.1
        assert torch.equal(update[0].left, torch.eye(len(update[0].left), dtype=torch.float64))
        assert update[0].keys.shape == (INNER, len(FACTS))

    def test_small_micro_batches_give_the_same(self, live: EditableModel) -> None:
        whole, parts = (
            edit(live.shadow(LAYERS), FACTS, preset("ft-l", max_batch_tokens=limit), {}, CONTEXTS).updates[0].dense
            for limit in (4096, 4)
        )
        assert relative(parts, whole) <= 1e-9

    def test_a_loss_that_is_not_a_number_ends_it(self, live: EditableModel) -> None:
        live.model.get_parameter("transformer.h.2.mlp.c_fc.weight").data[0, 0] = float("nan")
        with pytest.raises(NonFiniteUpdate):
            edit(live.shadow(LAYERS), FACTS, preset("ft-l"), {}, CONTEXTS)

    def test_the_live_model_gets_no_gradient(self, live: EditableModel) -> None:
        edit(live.shadow(LAYERS), FACTS[:1], preset("ft-l"), {}, CONTEXTS)
        assert all(weight.grad is None and not weight.requires_grad for weight in live.model.parameters())


class TestOneLayer:
    @pytest.mark.parametrize("plan", PLANS)
    @pytest.mark.parametrize("method", ["rome", "ft-l"])
    def test_the_last_critical_layer_changes_whatever_the_plan(self, method: str, plan: str) -> None:
        assert plan_layers(Preset((2, 3, 5), method=method, plan=plan)) == (5,)

    def test_tuning_needs_no_statistics(self, live: EditableModel) -> None:
        source = PriorSource(live, Statistics({}, 0))
        source.check(preset("ft-l"))
        with pytest.raises(StatisticsMismatch):
            source.check(preset("rome"))

    @pytest.mark.parametrize("method", ["rome", "ft-l"])
    def test_the_model_must_have_it(self, live: EditableModel, method: str) -> None:
        source = PriorSource(live, Statistics({}, 0))
        with pytest.raises(LayerOutOfRange):
            source.check(preset(method).with_overrides({"layers": (1, 9)}))

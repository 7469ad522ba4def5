"""Solving a batch again: with targets that are known, and with more effort for some of its facts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tests.support.editing.families import CONTEXTS, FACTS, editable, random_priors
from tests.support.editing.remembering import Witness
from workers.editing.editor import edit
from workers.editing.efforts import Effort, Efforts
from workers.editing.methods import METHODS
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.shares import realised_shares
from workers.editing.types import Edited, Fact, Known

LAYERS = (0, 1)
PRESET = Preset(LAYERS, v_num_grad_steps=4, mom2_update_weight=50.0)
SOLVING = [name for name, method in METHODS.items() if method.right_factor is not None]
ONE, OTHER = FACTS[0], FACTS[1]


def edited(
    live: EditableModel,
    facts: tuple[Fact, ...] = (ONE, OTHER),
    preset: Preset = PRESET,
    known: Known | None = None,
    efforts: Efforts | None = None,
    witness: Witness | None = None,
) -> Edited:
    return edit(
        live.shadow(LAYERS),
        facts,
        preset,
        random_priors(live, LAYERS),
        CONTEXTS,
        observer=witness,
        known=known or {},
        efforts=efforts or {},
    )


def dense(found: Edited) -> dict[int, Tensor]:
    return {update.layer: update.dense for update in found.updates}


def same(one: Edited, other: Edited) -> bool:
    mine, theirs = dense(one), dense(other)
    return all(torch.equal(mine[layer], theirs[layer]) for layer in mine)


class TestKnownTargets:
    @pytest.mark.parametrize("method", SOLVING)
    def test_a_batch_is_solved_from_them_to_the_bit_without_a_step(
        self, tokenizer: PreTrainedTokenizerFast, method: str
    ) -> None:
        live, preset = editable("gpt2", tokenizer), replace(PRESET, method=method)
        first, witness = edited(live, preset=preset), Witness()
        again = edited(live, preset=preset, known=first.found, witness=witness)
        assert same(first, again)
        assert witness.heard == []
        assert again.shares == first.shares

    def test_those_of_the_rest_stay_when_a_fact_leaves(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        first = edited(live)
        left = edited(live, (OTHER,), known=first.found)
        assert set(left.found) == {(OTHER,)}
        for layer in LAYERS:
            assert torch.equal(left.found[OTHER,].targets[layer], first.found[OTHER,].targets[layer])

    def test_a_group_that_loses_a_fact_is_another_group(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Its target was made for both: that of what is left is found anew, without a trace of the other."""
        live = editable("gpt2", tokenizer)
        two = Fact("Lyon", "{} is located in the country of", "Japan"), Fact("Lyon", "{} is a city in", "Brazil")
        both = edited(live, two)
        assert set(both.found) == {two}
        assert same(edited(live, two[:1], known=both.found), edited(live, two[:1]))


class TestEffort:
    def test_only_the_fact_that_gets_more_is_descended_again(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        first = edited(live)
        more = {ONE: Effort(steps=3, rate=2.0, clamp=2.0)}
        rest = {members: found for members, found in first.found.items() if members != (ONE,)}
        again = edited(live, known=rest, efforts=more)
        for layer in LAYERS:
            assert torch.equal(again.found[OTHER,].targets[layer], first.found[OTHER,].targets[layer])
            assert not torch.equal(again.found[ONE,].targets[layer], first.found[ONE,].targets[layer])
            assert again.found[ONE,].losses[layer][0] < first.found[ONE,].losses[layer][0]

    def test_its_weight_raises_its_own_share_as_a_smaller_ridge_would(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        low, lighter = (replace(PRESET, mom2_update_weight=weight) for weight in (40_000.0, 10_000.0))
        plain, heavy = edited(live, (ONE,), low), edited(live, (ONE,), low, efforts={ONE: Effort(weight=4.0)})
        smaller = edited(live, (ONE,), lighter)
        first = LAYERS[0]
        assert heavy.shares[first][0] == pytest.approx(smaller.shares[first][0], rel=1e-6)
        assert heavy.shares[first][0] > plain.shares[first][0] + 0.01
        assert torch.allclose(dense(heavy)[first], dense(smaller)[first], rtol=1e-4, atol=1e-7)

    def test_all_facts_that_are_tuned_get_it_together(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        plain = replace(PRESET, method="ft-l", num_steps=2)
        more = edited(live, preset=plain, efforts={ONE: Effort(steps=2, rate=2.0, clamp=2.0)})
        by_hand = replace(plain, num_steps=4, lr=plain.lr * 2, norm_constraint=plain.norm_constraint * 2)
        assert same(more, edited(live, preset=by_hand))


def test_a_share_is_what_the_update_moves_a_key_by(tokenizer: PreTrainedTokenizerFast) -> None:
    """residual @ right @ key: the own column's part of it."""
    torch.manual_seed(3)
    keys, right = torch.randn(8, 3).double(), torch.randn(3, 8).double()
    assert torch.allclose(realised_shares(right, keys), torch.stack([right[i] @ keys[:, i] for i in range(3)]))
    found = edited(editable("gpt2", tokenizer))
    assert all(0.0 < share <= 1.0 for shares in found.shares.values() for share in shares)


def test_the_loss_told_is_that_of_the_object_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    """Without the terms that hold the target back: with a heavy one it is the same before the first step."""
    live = editable("gpt2", tokenizer)
    one_step = replace(PRESET, v_num_grad_steps=2)
    light, heavy = (edited(live, preset=replace(one_step, kl_factor=factor)) for factor in (0.0, 100.0))
    assert light.found[ONE,].losses[0] == heavy.found[ONE,].losses[0]

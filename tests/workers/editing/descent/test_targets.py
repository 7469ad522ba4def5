"""Targets of a batch: what they depend on, what bounds them, and how an edit that goes wrong ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from tests.support.editing.families import CONTEXTS, FACTS, HIDDEN, editable, random_priors, relative
from tests.support.editing.remembering import Witness
from workers.editing.batch import tokenise_batch
from workers.editing.descent.targets import targets_at
from workers.editing.editor import edit
from workers.editing.efforts import Effort
from workers.editing.groups import group_by_key
from workers.editing.keys import outputs_at
from workers.editing.model.anatomy import Site
from workers.editing.model.editable_model import EditableModel
from workers.editing.objective import AT_THE_BLOCK
from workers.editing.presets.preset import Preset
from workers.editing.types import Fact, Observer, Silent

LAYERS = (0, 1)
PRESET = Preset(LAYERS, v_num_grad_steps=6, mom2_update_weight=0.5)
SAME_SUBJECT = (
    Fact("Lyon", "{} is located in the country of", "Japan"),
    Fact("Paris", "{} is the capital of", "France"),
    Fact("Lyon", "{} is a city in", "Brazil"),
)


def updates(live: EditableModel, facts: Sequence[Fact], preset: Preset, *, strict: bool = False) -> dict[int, Tensor]:
    """Each layer's update; the live model stays as it is."""
    found = edit(live.shadow(LAYERS), facts, preset, random_priors(live, LAYERS), CONTEXTS, strict=strict).updates
    return {update.layer: update.dense for update in found}


def targets(
    live: EditableModel,
    facts: Sequence[Fact],
    preset: Preset,
    *,
    strict: bool = False,
    observer: Observer | None = None,
) -> Tensor:
    """Targets (d_out, groups) at layer 1."""
    tokenised = tokenise_batch(live, facts, CONTEXTS)
    groups = group_by_key(tokenised, strict=strict)
    return targets_at(live, tokenised, groups, 1, AT_THE_BLOCK, preset, observer or Silent())


def outputs(live: EditableModel, facts: Sequence[Fact]) -> Tensor:
    return outputs_at(live, tokenise_batch(live, facts, CONTEXTS), 1, 4096)


class TestGroups:
    def test_facts_with_one_key_share_one_target(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        tokenised = tokenise_batch(live, SAME_SUBJECT, CONTEXTS)
        assert [group.members for group in group_by_key(tokenised, strict=False)] == [(0, 2), (1,)]
        assert targets(live, SAME_SUBJECT, PRESET).shape == (HIDDEN, 2)

    def test_under_strict_every_fact_is_alone(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        strict = targets(live, SAME_SUBJECT, PRESET, strict=True)
        assert strict.shape == (HIDDEN, 3)
        assert relative(strict[:, 0], strict[:, 2]) > 1e-3

    def test_the_same_subject_after_other_words_has_another_key(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        facts = [Fact("Lyon", "{} is in", "Japan"), Fact("Lyon", "The city of {} is in", "Japan")]
        assert len(group_by_key(tokenise_batch(live, facts, CONTEXTS), strict=False)) == 2

    def test_a_fact_said_twice_is_the_fact_said_once(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        once, twice = (updates(live, facts, PRESET) for facts in (FACTS[:1], FACTS[:1] * 2))
        assert all(relative(twice[layer], once[layer]) <= 1e-10 for layer in LAYERS)

    def test_a_groups_target_serves_all_its_facts(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """One common δ minimises the mean of the group's losses; the first fact's own δ does not."""
        live = editable("gpt2", tokenizer)
        longer = PRESET.with_overrides({"v_num_grad_steps": 20, "v_lr": 0.1})
        facts = [SAME_SUBJECT[0], SAME_SUBJECT[2]]
        common, alone = Witness(), Witness()
        shared = targets(live, facts, longer, observer=common)[:, 0]
        own = targets(live, facts[:1], longer, observer=alone)[:, 0]
        assert relative(shared, own) > 1e-3
        assert common.heard[-1][3] < common.heard[0][3]


EASY = Fact("Lyon", "The capital of {}", "France")
FREE = PRESET.with_overrides({"v_weight_decay": 0.0, "kl_factor": 0.0, "clamp_norm_factor": 50.0, "v_lr": 1.0})
"""With a model of large weights this brings an object of one token close to certainty within a dozen steps."""


class TestBounds:
    @pytest.mark.parametrize("factor", [0.01, 0.3, 0.75])
    def test_a_shift_stays_within_its_clamp(self, tokenizer: PreTrainedTokenizerFast, factor: float) -> None:
        live = editable("gpt2", tokenizer)
        preset = PRESET.with_overrides({"clamp_norm_factor": factor, "v_lr": 1.0, "v_num_grad_steps": 10})
        start = outputs(live, FACTS)
        shift, bound = (targets(live, FACTS, preset) - start).norm(dim=0), factor * start.norm(dim=0)
        assert bool((shift <= bound * (1 + 1e-12)).all())
        assert bool((shift >= bound * 0.5).any())

    def test_one_step_only_measures(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        found = targets(live, FACTS, PRESET.with_overrides({"v_num_grad_steps": 1}))
        assert torch.equal(found, outputs(live, FACTS))

    def test_a_fact_that_converges_early_keeps_its_target(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Further steps, which other facts need, do not move it."""
        live = editable("gpt2", tokenizer, initializer_range=0.5)  # can be sure of a token
        witness = Witness()
        short, long = (FREE.with_overrides({"v_num_grad_steps": steps}) for steps in (25, 30))
        alone = targets(live, [EASY], short, observer=witness)
        assert witness.heard[-1][4] == 1, "it converges"
        assert witness.heard[-1][1] < 24, "early"
        after_short, after_long = (targets(live, [FACTS[0], EASY], preset) for preset in (short, long))
        assert relative(after_short[:, 1], alone[:, 0]) <= 1e-10
        assert torch.equal(after_short[:, 1], after_long[:, 1])
        assert relative(after_short[:, 0], after_long[:, 0]) > 1e-6

    def test_targets_leave_the_model_untouched(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        before = {name: value.clone() for name, value in live.model.state_dict().items()}
        targets(live, FACTS, PRESET)
        assert all(torch.equal(value, before[name]) for name, value in live.model.state_dict().items())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in live.model.modules())


class TestEarlyStop:
    """Most-probable early stopping (ENCORE)."""

    def stopped(self, live: EditableModel, passes: int) -> tuple[Tensor, int]:
        """EASY's target, and the step in which it was done."""
        witness = Witness()
        preset = FREE.with_overrides({"early_stop": passes, "v_num_grad_steps": 25})
        found = targets(live, [EASY], preset, observer=witness)
        assert witness.heard[-1][4] == 1, "it is done"
        return found, witness.heard[-1][1]

    def after(self, live: EditableModel, steps: int) -> Tensor:
        """EASY's target after so many steps of the descent that goes by its loss."""
        return targets(live, [EASY], FREE.with_overrides({"v_num_grad_steps": steps + 1}))

    def test_it_ends_with_the_first_step_after_which_the_object_is_the_likeliest_everywhere(
        self, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        live = editable("gpt2", tokenizer, initializer_range=0.5)
        found, step = self.stopped(live, 1)
        assert 2 < step < 20, "not at once, and before it must"
        assert torch.equal(found, self.after(live, step - 1))
        assert likeliest_everywhere(live, EASY, found)
        assert not any(likeliest_everywhere(live, EASY, self.after(live, steps)) for steps in range(step - 1))

    def test_it_may_go_on_for_some_steps(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer, initializer_range=0.5)
        found, step = self.stopped(live, 2)
        counted = [steps for steps in range(step) if likeliest_everywhere(live, EASY, self.after(live, steps))]
        assert len(counted) == 2
        assert counted[-1] == step - 1
        assert torch.equal(found, self.after(live, step - 1))

    def test_a_fact_that_is_given_more_effort_goes_on(self) -> None:
        preset = FREE.with_overrides({"early_stop": 1})
        assert Effort(weight=4.0).of(preset).early_stop == 1
        assert Effort(steps=2).of(preset).early_stop is None


def likeliest_everywhere(live: EditableModel, fact: Fact, target: Tensor) -> bool:
    """Whether each token of the object is the likeliest in every context, whole prompts through the whole model."""
    tokenised = tokenise_batch(live, [fact], CONTEXTS)[0]
    shift = (target - outputs(live, [fact]))[:, 0].float()
    right = []
    for each in tokenised.continued:
        ids = [*each.row.ids, *each.object[:-1]]

        def add(_module: nn.Module, _args: Any, given: Any, place: int = each.row.lookup) -> Any:
            states = given.clone() if isinstance(given, Tensor) else given[0].clone()
            states[0, place] += shift
            return states if isinstance(given, Tensor) else (states, *given[1:])

        handle = live.site(1, Site.BLOCK).register_forward_hook(add)
        with torch.no_grad():
            said = live.model(input_ids=torch.tensor([ids])).logits[0, -len(each.object) :].argmax(dim=1)
        handle.remove()
        right.append(said.tolist() == list(each.object))
    return all(right)


class TestProgress:
    @pytest.mark.parametrize("limit", [1, 16384])
    def test_it_never_goes_back_within_a_layer(self, tokenizer: PreTrainedTokenizerFast, limit: int) -> None:
        live = editable("gpt2", tokenizer, initializer_range=0.5)
        witness = Witness()
        facts, preset = [*FACTS, EASY], FREE.with_overrides({"max_batch_tokens": limit, "v_num_grad_steps": 25})
        edit(live.shadow(LAYERS), facts, preset, random_priors(live, LAYERS), CONTEXTS, observer=witness)
        assert witness.solved == list(LAYERS)
        for layer in LAYERS:
            counts = [done for at, _, _, _, done, _ in witness.heard if at == layer]
            assert counts
            assert counts == sorted(counts)
        assert max(done for *_, done, _ in witness.heard) > 0, "some facts converge"
        assert all(0 <= done <= count == len(facts) for *_, done, count in witness.heard)
        assert all(1 <= step < steps == preset.v_num_grad_steps for _, step, steps, *_ in witness.heard)

    def test_the_even_plan_makes_its_targets_once(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        witness = Witness()
        preset = PRESET.with_overrides({"plan": "even"})
        edit(live.shadow(LAYERS), FACTS[:1], preset, random_priors(live, LAYERS), CONTEXTS, observer=witness)
        assert {layer for layer, *_ in witness.heard} == {LAYERS[-1]}
        assert len(witness.heard) == preset.v_num_grad_steps - 1

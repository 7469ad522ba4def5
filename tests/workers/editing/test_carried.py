"""Targets at one layer lead to targets at a later one, with one forward pass in place of a descent."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tests.support.editing.families import CONTEXTS, FACTS, FAMILIES, editable, random_priors
from tests.support.editing.remembering import Witness
from workers.editing.batch import tokenise_batch
from workers.editing.carried import carried_targets
from workers.editing.editor import edit
from workers.editing.keys import outputs_at
from workers.editing.model.editable_model import first
from workers.editing.presets.preset import Preset

LIMIT = 4096


@pytest.mark.parametrize("name", FAMILIES)
def test_where_nothing_is_moved_the_later_layer_gives_what_it_gave(
    name: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    live = editable(name, tokenizer)
    facts = tokenise_batch(live, FACTS, CONTEXTS)
    unmoved = outputs_at(live, facts, 0, LIMIT)
    found = carried_targets(live, facts, 0, unmoved, 1, LIMIT)
    assert torch.allclose(found, outputs_at(live, facts, 1, LIMIT), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_each_target_leads_where_its_own_prompt_alone_leads(name: str, tokenizer: PreTrainedTokenizerFast) -> None:
    live = editable(name, tokenizer)
    facts = tokenise_batch(live, FACTS, CONTEXTS)
    torch.manual_seed(3)
    targets = torch.randn(live.hidden_size, len(facts), dtype=torch.float64)
    found = carried_targets(live, facts, 0, targets, 1, LIMIT)
    for column, fact in enumerate(facts):
        ids = torch.tensor([fact.prompts[0].stem])
        seen: list[torch.Tensor] = []

        def put(_m: object, _a: object, output: object, column: int = column) -> object:
            states = first(output).clone()  # type: ignore[arg-type]
            states.view(-1, states.shape[-1])[-1] = targets[:, column].to(states)
            return states if isinstance(output, torch.Tensor) else (states, *output[1:])  # type: ignore[index]

        handles = [
            live.block(0).register_forward_hook(put),
            live.block(1).register_forward_hook(lambda _m, _a, output: seen.append(first(output))),  # noqa: B023
        ]
        with torch.no_grad():
            live.model(input_ids=ids, use_cache=False)
        for handle in handles:
            handle.remove()
        alone = seen[0].view(-1, live.hidden_size)[-1]
        assert torch.allclose(found[:, column], alone.double(), rtol=1e-4, atol=1e-5)


def test_the_replay_plan_descends_at_the_first_layer_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    live, witness = editable("gpt2", tokenizer), Witness()
    preset = Preset((0, 1), plan="replay", v_num_grad_steps=4, mom2_update_weight=1.0)
    edit(live.shadow((0, 1)), FACTS[:2], preset, random_priors(live, (0, 1)), CONTEXTS, observer=witness)
    assert {layer for layer, *_ in witness.heard} == {0}


def test_where_the_first_layer_reaches_its_targets_the_last_one_has_little_left_to_do(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    live = editable("gpt2", tokenizer)
    sizes = {}
    for weight in (1e-9, 1e9):
        preset = Preset((0, 1), plan="replay", v_num_grad_steps=4, mom2_update_weight=weight)
        made = edit(live.shadow((0, 1)), FACTS[:1], preset, random_priors(live, (0, 1)), CONTEXTS[:1])
        sizes[weight] = float(made.updates[1].left.norm())
    assert sizes[1e-9] < 0.5 * sizes[1e9]  # what is left is what earlier tokens' outputs did to it

"""The keys that are kept as previous keys are those that the facts have once the whole batch is written."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tests.support.editing.families import FACTS, editable, random_priors
from workers.editing import crew
from workers.editing.batch import tokenise_batch
from workers.editing.editor import edit
from workers.editing.keys import keys_at
from workers.editing.methods import METHODS
from workers.editing.presets.preset import Preset

LAYERS = (0, 1)
PRESET = Preset(LAYERS, v_num_grad_steps=4, v_lr=0.5, mom2_update_weight=0.5, L2=0.1, num_steps=4, lr=0.01)
CONTEXTS = ("{}", "The city. {}")
TWO = FACTS[1:3]
ONE_LAYER = ("rome", "ft-l")
WAYS = [
    (method, plan) for method in METHODS for plan in ("even", "boundary", "replay")[: 1 if method in ONE_LAYER else 3]
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("method", "plan"), WAYS)
def test_they_are_those_of_the_edited_model(
    method: str, plan: str, dtype: torch.dtype, tokenizer: PreTrainedTokenizerFast
) -> None:
    live = editable("llama", tokenizer, dtype)
    shadow = live.shadow(LAYERS)
    preset = PRESET.with_overrides({"method": method, "plan": plan})
    edited = edit(shadow, TWO, preset, random_priors(live, LAYERS), CONTEXTS)
    tokenised = tokenise_batch(shadow, TWO, CONTEXTS)
    assert edited.columns == (0, 1), "a column a fact"
    for update in edited.updates:
        now = keys_at(shadow, tokenised, update.layer, preset.max_batch_tokens)
        assert torch.equal(update.keys, now)
    last = edited.updates[-1].layer
    if last != edited.updates[0].layer:
        before = keys_at(live, tokenised, last, preset.max_batch_tokens)
        assert not torch.equal(edited.updates[-1].keys, before), "the first layer's update changes the last one's keys"


@pytest.mark.parametrize(("method", "times"), [("memit", 1), ("alphaedit", 1), ("pmet", 1), ("rect", 2), ("prune", 2)])
def test_they_are_computed_once_a_layer_but_where_a_method_changes_its_updates_in_the_end(
    method: str, times: int, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers: list[int] = []

    def counted(*asked: Any) -> Tensor:
        layers.append(asked[2])
        return keys_at(*asked)

    monkeypatch.setattr(crew, "keys_at", counted)
    live = editable("llama", tokenizer, torch.float32)
    preset = PRESET.with_overrides({"method": method, "plan": "even"})
    edit(live.shadow(LAYERS), TWO, preset, random_priors(live, LAYERS), CONTEXTS)
    assert sorted(layers) == sorted(LAYERS * times)

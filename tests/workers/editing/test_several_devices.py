"""A model whose blocks lie on several devices is edited as one that lies on one: the same numbers, to the bit.

The devices are pretended (``PretendedDevices``): what is computed is real, and tensors that lie apart are refused.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tests.support.editing.blocks_apart import blocks_apart
from tests.support.editing.families import FACTS, editable, random_priors
from tests.support.pretended_devices import PretendedDevices
from workers.editing.descent.compatibility import check_replay
from workers.editing.editor import edit
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset

LAYERS = (0, 1)
PRESET = Preset(LAYERS, v_num_grad_steps=4, v_lr=0.5, mom2_update_weight=0.5, L2=0.1, num_steps=4, lr=0.01)
CONTEXTS = ("{}", "The city. {}")
TWO = FACTS[1:3]
IDS = torch.arange(1, 9).unsqueeze(0)


@torch.inference_mode()
def logits(live: EditableModel) -> Tensor:
    found: Tensor = live.model(IDS.to(live.device)).logits
    return found.cpu()


CASES = [
    *((family, "memit", "boundary") for family in ("gpt2", "gptj", "gpt-neox", "llama", "gemma3", "opt")),
    *(("llama", method, "even") for method in ("alphaedit", "prune", "pmet", "rome", "ft-l")),
    ("gpt2", "memit", "replay"),
]
"""A family, a method and a plan."""


@pytest.mark.parametrize(("family", "method", "plan"), CASES)
def test_the_same_edit_comes_out(family: str, method: str, plan: str, tokenizer: PreTrainedTokenizerFast) -> None:
    preset = PRESET.with_overrides({"method": method, "plan": plan})
    whole = editable(family, tokenizer, torch.float32)
    check_replay(whole)
    shadow = whole.shadow(LAYERS)
    expected = edit(shadow, TWO, preset, random_priors(whole, LAYERS), CONTEXTS).updates
    with PretendedDevices() as devices:
        live = blocks_apart(editable(family, tokenizer, torch.float32))
        check_replay(live)
        assert [device.index for device in live.devices] == [0, 1, 2]
        apart = live.shadow(LAYERS)
        priors = random_priors(live, LAYERS)
        found = edit(apart, TWO, preset, priors, CONTEXTS).updates
        assert devices.moved
        for mine, theirs in zip(found, expected, strict=True):
            assert mine.left.device == mine.right.device == mine.keys.device == torch.device("cuda", mine.layer)
            assert torch.equal(mine.dense.cpu(), theirs.dense)
            assert apart.weight(mine.layer).device == apart.master(mine.layer).device == live.device_at(mine.layer)
        assert torch.equal(logits(apart), logits(shadow))
        assert torch.equal(logits(live), logits(whole))

"""What float16 cannot hold ends an edit before anything is committed, and is told with the module's name (T17)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from app.domain.errors import NonFiniteUpdate, StatisticsMismatch, UnsupportedArchitecture
from tests.support.editing.families import FACTS, editable, random_priors
from tests.support.tiny_models import save_tiny
from tests.workers.conftest import WORDS
from workers.editing.editor import edit
from workers.editing.loading import load
from workers.editing.methods import METHODS
from workers.editing.presets.preset import Preset
from workers.editing.statistics import second_moments

LAYERS = (0, 1)
PRESET = Preset(LAYERS, v_num_grad_steps=3, mom2_update_weight=0.5, num_steps=3)
SCALE = 1e5
BARE, ONE = ("{}",), FACTS[1:2]
UP = "model.layers.1.mlp.up_proj"

CASES = [(method, UP, SCALE, r"model\.layers\.1\.mlp\.\w+") for method in METHODS] + [
    ("memit", "model.layers.2.self_attn.v_proj", SCALE, r"model\.layers\.2\.self_attn\.v_proj"),
    ("memit", "lm_head", SCALE, "lm_head"),
]
"""Method, what is scaled, by how much, what is named."""


@pytest.mark.parametrize(("method", "place", "scale", "named"), CASES)
def test_an_edit_names_where_it_happens(
    method: str, place: str, scale: float, named: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    live = editable("llama", tokenizer, torch.float16)
    live.model.get_parameter(f"{place}.weight").data.mul_(scale)
    preset = PRESET.with_overrides({"method": method})
    told = named + r" gives numbers beyond float16's range: load the model with --dtype bfloat16 or float32$"
    with pytest.raises(NonFiniteUpdate, match=told):
        edit(live.shadow(LAYERS), ONE, preset, random_priors(live, LAYERS), BARE)


def test_keys_are_looked_at_though_no_gradient_step_is_made(tokenizer: PreTrainedTokenizerFast) -> None:
    live = editable("llama", tokenizer, torch.float16)
    live.model.get_parameter(f"{UP}.weight").data.mul_(SCALE)
    once = PRESET.with_overrides({"v_num_grad_steps": 1})
    with pytest.raises(NonFiniteUpdate, match=r"layer 1.*model\.layers\.1\.mlp"):
        edit(live.shadow(LAYERS), ONE, once, random_priors(live, LAYERS), BARE)


def test_the_same_weights_are_edited_in_bfloat16(tokenizer: PreTrainedTokenizerFast) -> None:
    live = editable("llama", tokenizer, torch.bfloat16)
    live.model.get_parameter(f"{UP}.weight").data.mul_(SCALE)
    edit(live.shadow(LAYERS), ONE, PRESET, random_priors(live, LAYERS), BARE)


def test_an_edited_weight_that_its_dtype_cannot_hold_is_refused_by_its_layer(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    shadow = editable("llama", tokenizer, torch.float16).shadow(LAYERS)
    with pytest.raises(NonFiniteUpdate, match="weight of layer 1 is beyond float16's range") as caught:
        shadow.set_master(1, shadow.master(1) + 7e4)
    assert caught.value.value == 1


def test_a_model_that_overflows_from_the_start_is_refused_as_it_is_loaded(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "tiny", "llama")
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    tensors["model.layers.2.mlp.up_proj.weight"] *= SCALE
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnsupportedArchitecture, match=r"model\.layers\.2\.mlp\.\w+ gives numbers beyond float16's"):
        load(str(folder), dtype="float16")
    assert load(str(folder), dtype="bfloat16").depth == 4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("family", ["gpt2", "llama", "opt"])
def test_second_moments_are_float32_whatever_the_model_is(
    family: str, dtype: torch.dtype, tokenizer: PreTrainedTokenizerFast
) -> None:
    moment = second_moments(editable(family, tokenizer, dtype), WORDS, (1,)).second_moments[1]
    assert moment.dtype is torch.float32
    assert torch.isfinite(moment).all()


def test_statistics_of_keys_that_overflow_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    live = editable("llama", tokenizer, torch.float16)
    live.model.get_parameter(f"{UP}.weight").data.mul_(SCALE)
    with pytest.raises(StatisticsMismatch, match="keys of layer 1 are not finite"):
        second_moments(live, WORDS, (0, 1))

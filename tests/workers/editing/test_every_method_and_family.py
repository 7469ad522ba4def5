"""Every method writes two facts into every family's shape, and into tied, narrow and wide ones (T19)."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tests.support.editing.families import FACTS, FAMILIES, editable, random_priors
from workers.editing.batch import tokenise_batch
from workers.editing.editor import edit
from workers.editing.methods import METHODS
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset

LAYERS = (0, 1)
PRESET = Preset(LAYERS, v_num_grad_steps=4, v_lr=0.5, mom2_update_weight=0.5, L2=0.1, num_steps=4, lr=0.01)
CONTEXTS = ("{}", "The city. {}")
TWO = FACTS[1:3]


@torch.inference_mode()
def object_loss(live: EditableModel) -> float:
    """Mean negative log-likelihood of the objects' first tokens after the bare prompts."""
    losses = []
    for fact in tokenise_batch(live, TWO, ["{}"]):
        logits = live.model(torch.tensor([fact.prompts[0].ids])).logits[0, -1].double()
        losses.append(-float(logits.log_softmax(-1)[fact.object[0]]))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_facts_become_likelier(family: str, method: str, tokenizer: PreTrainedTokenizerFast) -> None:
    live = editable(family, tokenizer, torch.float32)
    shadow = live.shadow(LAYERS)
    preset = PRESET.with_overrides({"method": method})
    edited = edit(shadow, TWO, preset, random_priors(live, LAYERS), CONTEXTS)
    assert all(torch.isfinite(update.dense).all() for update in edited.updates)
    assert object_loss(shadow) < object_loss(live)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "opt"])
def test_of_narrow_models_masters_are_float32_and_weights_their_casts(
    family: str, dtype: torch.dtype, tokenizer: PreTrainedTokenizerFast
) -> None:
    live = editable(family, tokenizer, dtype)
    shadow = live.shadow(LAYERS)
    edited = edit(shadow, TWO, PRESET, random_priors(live, LAYERS), CONTEXTS)
    assert object_loss(shadow) < object_loss(live)
    for update in edited.updates:
        master = shadow.master(update.layer)
        assert (master.dtype, update.left.dtype, update.keys.dtype) == (torch.float32, torch.float32, torch.float64)
        assert torch.equal(shadow.weight(update.layer), master.to(dtype))
        assert not torch.equal(master, live.master(update.layer))


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "opt"])
def test_tied_embeddings_stay_tied_and_as_they_were(family: str, tokenizer: PreTrainedTokenizerFast) -> None:
    live = editable(family, tokenizer, torch.float32, tie_word_embeddings=True)
    shadow = live.shadow(LAYERS)
    edit(shadow, TWO, PRESET, random_priors(live, LAYERS), CONTEXTS)
    ends = [shadow.model.get_input_embeddings(), shadow.model.get_output_embeddings()]  # type: ignore[no-untyped-call]
    assert len({id(end.weight) for end in ends if end is not None}) == 1
    assert object_loss(shadow) < object_loss(live)

"""Loaded weights lie in memory as edited ones do, so that the same bits of weight give the same bits of answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.editing.chat_tokenizers import stray_space
from tests.support.editing.families import FAMILIES, random_model
from tests.support.tiny_models import save_tiny
from workers.editing.loading import ALIGNMENT, load
from workers.editing.text.joint import TRIALS, joint
from workers.editing.text.model_text import ModelText


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_weights_begin_where_torchs_own_memory_does_wherever_they_lie_in_their_file(
    family: str, tmp_path: Path
) -> None:
    folder = save_tiny(tmp_path / "model", family)
    file = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}  # apart from the file
    for shift in range(0, ALIGNMENT, 8):  # a safetensors header is filled up to a multiple of 8 bytes
        save_file(tensors, file, metadata={"format": "pt", "more": "x" * shift})
        model = load(str(folder)).model
        assert {tensor.data_ptr() % ALIGNMENT for tensor in (*model.parameters(), *model.buffers())} == {0}
        assert all(torch.equal(model.get_parameter(name), tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("family", ["mistral", "llama", "phi3"])
def test_t1_objects_continue_their_prompts_as_typed_whatever_becomes_of_the_tokenizer(
    family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Case T1 of the field: transformers loads one and the same file otherwise, by the model's type."""
    random_model(FAMILIES[family].config()).save_pretrained(tmp_path)
    stray_space().save_pretrained(tmp_path)
    words = ModelText.of(load(str(tmp_path)).tokenizer)
    for prompt, text in TRIALS:
        found = joint(words, prompt, text)
        assert [*found.prompt, *found.object] == words.tokenizer(f"{prompt} {text}")["input_ids"]
        assert str(words.tokenizer.decode([*found.prompt, *found.object], skip_special_tokens=True)).endswith(text)
    assert not [record for record in caplog.records if "trial prompts" in record.message]

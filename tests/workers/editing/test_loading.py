"""Loaded weights lie in memory as edited ones do, so that the same bits of weight give the same bits of answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.tiny_models import save_tiny
from workers.editing.loading import ALIGNMENT, load


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

"""A version as an adapter for llama.cpp, beside whatever GGUF file of the base model a user has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from app.domain.contract import ExportFormat
from app.domain.errors import ExportFailed, UnsupportedArchitecture
from tests.support.editing.families import FAMILIES, editable
from tests.workers.exports.conftest import MEMIT, REVERTED, TUNED_TOO, Exported
from workers.exports import exporter
from workers.exports.gguf_lora import GgufLora
from workers.exports.gguf_names import architecture_of, tensor_name
from workers.steps import Unwatched

NAMED = {
    "gpt2": "gpt2",
    "gptj": "gptj",
    "gpt-neox": "gptneox",
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma2": "gemma2",
    "gemma3": "gemma3",
    "phi3": "phi3",
    "olmo2": "olmo2",
}
"""By our families, what ``general.architecture`` is in llama.cpp's files."""


@pytest.mark.parametrize("version", [MEMIT, REVERTED, TUNED_TOO])
def test_its_factors_are_those_of_the_peft_adapter(exported: Exported, version: int) -> None:
    report, folder = exported.export(ExportFormat.GGUF_LORA, version)
    _, peft = exported.export(ExportFormat.PEFT, version)
    reader = GGUFReader(folder / f"tiny-v{version}.gguf")
    found = {tensor.name: tensor.data for tensor in reader.tensors}
    wanted = load_file(peft / "adapter_model.safetensors")
    assert len(found) == len(wanted)
    for name, factor in wanted.items():
        [layer] = [part for part in name.split(".") if part.isdigit()]
        assert np.array_equal(found[f"blk.{layer}.ffn_down.weight.lora_{'a' if 'lora_A' in name else 'b'}"], factor)
    said = {key: reader.fields[key].contents() for key in ("general.type", "adapter.type", "adapter.lora.alpha")}
    assert said == {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": float(report.rank or 0)}
    assert reader.fields["general.architecture"].contents() == exported.host.live.model.config.model_type
    assert report.tolerance is not None
    assert report.max_logit_difference <= report.tolerance
    assert (report.adapter, report.max_lora_rank, report.gguf_types) == (None, None, ())


def test_a_version_that_changes_nothing_is_zeros_in_one_layer(exported: Exported) -> None:
    report, folder = exported.export(ExportFormat.GGUF_LORA, 0)
    found = GGUFReader(folder / "tiny-v0.gguf").tensors
    assert [tensor.name for tensor in found] == [f"blk.0.ffn_down.weight.lora_{side}" for side in "ab"]
    assert not any(tensor.data.any() for tensor in found)
    assert report.max_logit_difference == 0


def test_its_modelfile_lays_it_over_a_base_that_the_user_has(exported: Exported) -> None:
    _, folder = exported.export(ExportFormat.GGUF_LORA, MEMIT)
    lines = (folder / "Modelfile").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["FROM ./BASE.gguf", "ADAPTER ./tiny-v2.gguf"]


@pytest.mark.parametrize("kind", ["alpha", "bits"])
def test_what_was_damaged_while_it_was_written_fails_and_goes(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    class Damaged(GgufLora):
        def write(self, folder: Path) -> None:
            super().write(folder)
            [file] = folder.glob("*.gguf")
            reader, data = GGUFReader(file), bytearray(file.read_bytes())
            alpha = reader.fields["adapter.lora.alpha"]
            place = alpha.offset + sum(part.nbytes for part in alpha.parts) - 1
            data[place if kind == "alpha" else reader.tensors[0].data_offset + 2] ^= 1
            file.write_bytes(data)

    host = exported.host
    monkeypatch.setattr(exporter, "FORMATS", {ExportFormat.GGUF_LORA: Damaged})
    made = exporter.Exporter(host.live, host.log, str(exported.base), None)
    with pytest.raises(ExportFailed, match="logits are off" if kind == "alpha" else "do not have the bits"):
        made.export(ExportFormat.GGUF_LORA, MEMIT, tmp_path / "out", "out", Unwatched())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("family", list(FAMILIES))
def test_tensors_have_the_names_that_llama_cpp_gives_them(tokenizer: PreTrainedTokenizerFast, family: str) -> None:
    live = editable(family, tokenizer, torch.float32)
    model_type = live.model.config.model_type
    if family not in NAMED:
        with pytest.raises(UnsupportedArchitecture, match=f"no name for the architecture {model_type}"):
            architecture_of(model_type)
        return
    assert architecture_of(model_type) == NAMED[family]
    names = [tensor_name(NAMED[family], module, live.depth) for module in live.anatomy.projections]
    assert names == [f"blk.{layer}.ffn_down.weight" for layer in range(live.depth)]


def test_a_module_that_llama_cpp_does_not_know_is_refused() -> None:
    with pytest.raises(UnsupportedArchitecture, match=r"no tensor for the module model\.layers\.0\.mlp\.strange"):
        tensor_name("llama", "model.layers.0.mlp.strange", 1)

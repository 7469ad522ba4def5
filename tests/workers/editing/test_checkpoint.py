"""What is refused as a model is loaded: in one sentence, which says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import PreTrainedConfig

from app.domain.errors import ModelNotFound, PalimpsestError, UnsupportedArchitecture
from tests.support.tiny_models import save_tiny, tokenizer
from workers.editing.loading import load

SMALL: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}

EXPERTS: dict[str, dict[str, Any]] = {
    "Mixtral": {"num_local_experts": 2},
    "Qwen2Moe": {"num_experts": 4, "moe_intermediate_size": 16},
    "Qwen3Moe": {"num_experts": 4, "moe_intermediate_size": 16},
    "GptOss": {"num_local_experts": 4, "head_dim": 8},
    "GraniteMoe": {"num_local_experts": 4},
    "Olmoe": {"num_experts": 4},
    "DeepseekV3": {
        "n_routed_experts": 8,
        "n_group": 2,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "first_k_dense_replace": 2,  # experts in the last block alone
    },
    "Phimoe": {"num_local_experts": 4},
    "JetMoe": {"num_local_experts": 4},
}


def refused(source: object) -> PalimpsestError:
    with pytest.raises(PalimpsestError) as caught:
        load(str(source))
    assert "\n" not in caught.value.detail
    return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "tiny", "llama")


class TestFiles:
    @pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "consolidated.00.pth"])
    def test_pickled_weights_are_not_read_and_how_to_convert_them_is_said(self, folder: Path, name: str) -> None:
        torch.save(load_file(folder / "model.safetensors"), folder / name)
        (folder / "model.safetensors").unlink()
        error = refused(folder)
        assert isinstance(error, UnsupportedArchitecture)
        assert "convert them once" in error.detail
        assert "save_pretrained(NEW_FOLDER)" in error.detail

    def test_pickled_weights_beside_safetensors_do_no_harm(self, folder: Path) -> None:
        (folder / "pytorch_model.bin").write_bytes(b"not read")
        assert load(str(folder)).depth == 4

    def test_a_folder_with_a_gguf_file_says_to_name_the_file(self, folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "tiny.Q4_1.gguf")
        assert "name the GGUF file in the folder itself: tiny.Q4_1.gguf" in refused(folder).detail

    @pytest.mark.parametrize("gone", ["model.safetensors", "config.json", "tokenizer.json"])
    def test_a_folder_that_is_not_whole(self, folder: Path, gone: str) -> None:
        (folder / gone).unlink()
        assert refused(folder).value == str(folder)

    def test_weights_that_are_missing_are_not_made_up(self, folder: Path) -> None:
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
        del tensors["model.layers.1.mlp.up_proj.weight"]
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        assert "lacks 1 of the model's weights (model.layers.1.mlp.up_proj.weight" in refused(folder).detail

    def test_a_file_that_is_damaged(self, folder: Path) -> None:
        whole = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
        assert "is damaged" in refused(folder).detail

    def test_code_of_the_models_own_is_not_run(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "of-its-own", "auto_map": {"AutoConfig": "own.Config"}}
        (folder / "config.json").write_text(json.dumps(config))
        assert isinstance(refused(folder), UnsupportedArchitecture)


class TestNames:
    @pytest.fixture(autouse=True)
    def _no_hub(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    @pytest.mark.parametrize("path", ["/no/such/folder", "./none", "models/of/mine", "mine/"])
    def test_a_path_that_leads_nowhere(self, path: str) -> None:
        error = refused(path)
        assert isinstance(error, ModelNotFound)
        assert error.detail == f"there is no folder {path}"

    @pytest.mark.parametrize("name", ["someone/some-model", "no-such-model"])
    def test_a_hub_that_is_out_of_reach(self, name: str) -> None:
        error = refused(name)
        assert isinstance(error, ModelNotFound)
        assert "the hub cannot be reached: give a folder or a GGUF file" in error.detail


class TestMixturesOfExperts:
    """Case T19 of the field: as a worker starts, and not in a job."""

    @pytest.mark.parametrize("family", EXPERTS)
    def test_are_refused_before_their_weights_are_read(self, tmp_path: Path, family: str) -> None:
        kind: Callable[..., PreTrainedConfig] = getattr(transformers, f"{family}Config")
        kind(**{**SMALL, **EXPERTS[family]}).save_pretrained(tmp_path)
        tokenizer(begin=False).save_pretrained(tmp_path)
        (tmp_path / "model.safetensors").write_bytes(b"not read")
        error = refused(tmp_path)
        assert isinstance(error, UnsupportedArchitecture)
        assert "mixture-of-experts models cannot be edited (" in error.detail
        assert "serve a dense model" in error.detail

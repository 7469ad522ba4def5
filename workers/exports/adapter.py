"""``peft``: a LoRA adapter for the base model, as PEFT and vLLM load it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from workers.exports.adapter_readme import README_FILE, adapter_name, readme
from workers.exports.content import Content
from workers.exports.low_rank import Change, Factored, factored
from workers.exports.package import Package, ReadBack

CONFIG_FILE = "adapter_config.json"
ADAPTER_FILE = "adapter_model.safetensors"
PREFIX = "base_model.model."


class AdapterConfig(BaseModel):
    """What PEFT's configuration says of a linear adapter; all else is as PEFT has it by default."""

    model_config = ConfigDict(frozen=True)

    peft_type: str = "LORA"
    task_type: str = "CAUSAL_LM"
    base_model_name_or_path: str
    revision: str | None
    inference_mode: bool = True
    r: int
    lora_alpha: int
    lora_dropout: float = 0.0
    bias: str = "none"
    target_modules: tuple[str, ...]
    fan_in_fan_out: bool


class Adapter(Package):
    """A layer's right factor is its ``lora_A`` (r, d_in), its left one its ``lora_B`` (d_out, r), float32.

    ``lora_alpha`` is the rank that all layers have: vLLM takes no rank a layer, and none above ``most_rank``.
    """

    most_rank: ClassVar[int] = 512

    def __init__(self, content: Content) -> None:
        self._origin = content.origin
        self.adapter = self._name = adapter_name(content.log.model, content.version)
        self.factors = of_one_rank(content, self.most_rank)
        [rank] = {each.rank for each in self.factors.values()}
        modules = {layer: content.shadow.anatomy.projections[layer] for layer in self.factors}
        self.tensors = {
            f"{PREFIX}{modules[layer]}.lora_{side}.weight": part
            for layer, each in self.factors.items()
            for side, part in (("A", each.right), ("B", each.left))
        }
        self._config = AdapterConfig(
            base_model_name_or_path=content.origin.source,
            revision=content.origin.revision,
            r=rank,
            lora_alpha=rank,
            target_modules=tuple(modules.values()),
            fan_in_fan_out=isinstance(content.shadow.projection(0), Conv1D),
        )

    def write(self, folder: Path) -> None:
        """Two files, by PEFT's names, and how to load them."""
        save_file(dict(self.tensors), folder / ADAPTER_FILE, metadata={"format": "pt"})
        (folder / CONFIG_FILE).write_text(self._config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        text = readme(self._name, self._config.base_model_name_or_path, self._config.r)
        (folder / README_FILE).write_text(text, encoding="utf-8")

    def read(self, folder: Path) -> ReadBack:
        """The adapter runs beside the base model's own weights, as in PEFT: B (A x) is added to W x."""
        tensors, model = load_file(folder / ADAPTER_FILE), self._origin.base()
        config = AdapterConfig.model_validate_json((folder / CONFIG_FILE).read_bytes())
        scaling = config.lora_alpha / config.r
        for name in config.target_modules:
            module = model.model.get_submodule(name)
            device = next(module.parameters()).device
            right, left = (tensors[f"{PREFIX}{name}.lora_{side}.weight"].to(device) for side in ("A", "B"))
            module.register_forward_hook(beside(left * scaling, right))
        return ReadBack(tensors, model)


def of_one_rank(content: Content, most_rank: int) -> dict[int, Factored]:
    """By layer that the version may have changed, its change as factors of one rank for all, filled up with zeros.

    A version that changes nothing is zeros in the first layer: who loads an adapter wants one layer at least.
    """
    none = {0: Change(torch.zeros_like(content.shadow.base(0)), None)}
    found = {layer: factored(change, most_rank) for layer, change in (content.changes() or none).items()}
    rank = max(1, *(each.rank for each in found.values()))
    return {layer: each.padded(rank) for layer, each in found.items()}


def beside(left: Tensor, right: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    """A hook that adds what the factors make of a module's input to its output."""

    def add(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        added = functional.linear(functional.linear(inputs[0].to(right.dtype), right), left)
        return output + added.to(output.dtype)

    return add

"""Where a model keeps its layers, down-projections and attentions, found by structure, and which way a weight lies.

A weight is (d_out, d_in), as in ``nn.Linear``; a ``Conv1D`` (GPT-2) stores the transpose. Within ``editing`` only this
file deals with that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from app.domain.errors import UnsupportedArchitecture

MATRICES = 3
"""Dimensions of a parameter that is many matrices."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of a decoder-only model that editing touches.

    blocks: the decoder blocks, first to last.
    projections: dotted name of each block's MLP down-projection, in the whole model.
    final_norm: applied to the last block's output before the output embeddings.
    """

    blocks: tuple[nn.Module, ...]
    projections: tuple[str, ...]
    final_norm: nn.Module


def locate(model: PreTrainedModel) -> Anatomy:
    """Find the parts by structure, not by family name.

    Raises:
        UnsupportedArchitecture: no block list, experts, no single down-projection a block, or no final norm.
    """
    refuse_experts(model)
    config = model.config.get_text_config()
    depth, hidden = config.num_hidden_layers, config.hidden_size
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == depth
    ]
    if not lists:
        raise UnsupportedArchitecture(f"no list of {depth} decoder blocks", value=type(model).__name__)
    list_name, blocks = lists[0]
    trunk = model.get_submodule(list_name.rpartition(".")[0])
    projections = tuple(f"{list_name}.{i}.{_down_projection(block, hidden)}" for i, block in enumerate(blocks))
    return Anatomy(tuple(blocks), projections, _final_norm(trunk))


def _down_projection(block: nn.Module, hidden: int) -> str:
    """Name, inside the block, of the last projection outside attention that ends at the hidden size."""
    found: list[str] = [
        name
        for name, module in block.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and out_features(module) == hidden
        and not any("attn" in part or "attention" in part for part in name.lower().split("."))
    ]
    inner = [name for name in found if in_features(block.get_submodule(name)) != hidden] or found
    parents = {name.rpartition(".")[0] for name in inner}
    if len(parents) != 1:
        detail = f"a block has no single MLP down-projection; candidates: {inner}"
        raise UnsupportedArchitecture(detail, value=type(block).__name__)
    return inner[-1]  # of a square MLP all are candidates; the last one goes down


def refuse_experts(model: nn.Module) -> None:
    """Raise UnsupportedArchitecture for a mixture of experts: no one matrix there holds a fact.

    Experts are modules of that name, or matrices stacked into one parameter (experts, d_out, d_in).
    """
    named = (name for name, _ in model.named_modules() if "expert" in name.lower())
    stacked = (
        f"{name}.{own}"
        for name, module in model.named_modules()
        if not isinstance(module, _ConvNd)
        for own, parameter in module.named_parameters(recurse=False)
        if parameter.dim() == MATRICES
    )
    if (found := next(named, None) or next(stacked, None)) is not None:
        detail = f"mixture-of-experts models cannot be edited ({found}): serve a dense model, with one MLP a block"
        raise UnsupportedArchitecture(detail, field="model", value=type(model).__name__)


def attention(block: nn.Module) -> nn.Module:
    """The one child of a block that is named attention and projects."""
    found = [
        child
        for name, child in block.named_children()
        if ("attn" in name.lower() or "attention" in name.lower())
        and any(isinstance(module, nn.Linear | Conv1D) for module in child.modules())
    ]
    if len(found) != 1:
        raise UnsupportedArchitecture(f"a block has {len(found)} attentions", value=type(block).__name__)
    return found[0]


def _final_norm(trunk: nn.Module) -> nn.Module:
    norms = [child for child in trunk.children() if "norm" in type(child).__name__.lower()]
    if not norms:
        raise UnsupportedArchitecture("no norm after the last block", value=type(trunk).__name__)
    return norms[-1]


def in_features(module: nn.Module) -> int:
    """d_in of a projection."""
    return oriented(module).shape[1]


def out_features(module: nn.Module) -> int:
    """d_out of a projection."""
    return oriented(module).shape[0]


def oriented(module: nn.Module) -> Tensor:
    """The module's weight as a (d_out, d_in) view, by the module's class and never by its shape."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.detach().T if isinstance(module, Conv1D) else weight.detach()


def window(model: PreTrainedModel) -> int:
    """The longest sequence that the model takes, in tokens.

    Raises:
        UnsupportedArchitecture: its configuration names none.
    """
    found = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if found is None:
        raise UnsupportedArchitecture("the model names no longest sequence", value=type(model).__name__)
    return int(found)


def device_of(model: PreTrainedModel) -> torch.device:
    """Where the model takes its token ids: a model may be spread over several devices."""
    embeddings: nn.Module = model.get_input_embeddings()
    return next(embeddings.parameters()).device


OWN = "sdpa"
"""The attention function that models are loaded with."""


def takes_runs(model: PreTrainedModel) -> bool:
    """Whether the model's attention function can be replaced; other models take rows of one length at a time."""
    return model.config.get_text_config()._attn_implementation == OWN and bool(model._supports_attention_backend)  # noqa: SLF001


def bytes_of(weight: Tensor) -> bytes:
    """The weight's bytes in (d_out, d_in) order, whatever its dtype."""
    return weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()


class Site(Enum):
    """Where in a block a δ is added, always at the lookup token; each is d_out wide."""

    BLOCK = "the block's output"
    ATTENTION = "the attention's output"
    DOWN_PROJECTION = "the MLP down-projection's output"

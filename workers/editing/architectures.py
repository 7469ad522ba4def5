"""Where a model keeps its layers and down-projections, found by structure, and how a weight is edited there.

This is the only file that knows of weight orientation: everywhere else a weight, a master and an update are
(d_out, d_in), as in ``nn.Linear``; a ``Conv1D`` (GPT-2) stores the transpose.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.pytorch_utils import Conv1D

from app.domain.errors import LayerOutOfRange, UnsupportedArchitecture
from workers.editing.types import WeightUpdate


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
        UnsupportedArchitecture: no block list, no single down-projection a block, or no final norm.
    """
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
        and _out_features(module) == hidden
        and not any("attn" in part or "attention" in part for part in name.lower().split("."))
    ]
    inner = [name for name in found if _in_features(block.get_submodule(name)) != hidden] or found
    parents = {name.rpartition(".")[0] for name in inner}
    experts = [name for name, _ in block.named_modules() if "expert" in name.lower()]
    if len(parents) != 1 or experts:
        detail = f"a block has no single MLP down-projection; candidates: {experts or inner}"
        raise UnsupportedArchitecture(detail, value=type(block).__name__)
    return inner[-1]  # of a square MLP all are candidates; the last one goes down


def _final_norm(trunk: nn.Module) -> nn.Module:
    norms = [child for child in trunk.children() if "norm" in type(child).__name__.lower()]
    if not norms:
        raise UnsupportedArchitecture("no norm after the last block", value=type(trunk).__name__)
    return norms[-1]


def _in_features(module: nn.Module) -> int:
    return _oriented(module).shape[1]


def _out_features(module: nn.Module) -> int:
    return _oriented(module).shape[0]


def _oriented(module: nn.Module) -> Tensor:
    """The module's weight as a (d_out, d_in) view, by the module's class and never by its shape."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.detach().T if isinstance(module, Conv1D) else weight.detach()


@dataclass(slots=True)
class EditableModel:
    """A model whose down-projections can be edited.

    An edited matrix has a *master* of at least float32; the model's own weight is a cast of it, done once per
    change, so that many small additions to bfloat16 do not lose the edits.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    anatomy: Anatomy
    masters: dict[int, Tensor] = field(default_factory=dict)
    owned: frozenset[int] | None = None
    """Layers whose weights are its own; None for a model that owns them all."""

    @classmethod
    def of(cls, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> EditableModel:
        """Take a loaded model: put it into evaluation mode, freeze it, find its parts, check them.

        Raises:
            UnsupportedArchitecture: the parts were not found, or do not add up to the model's own logits.
        """
        model.train(mode=False)
        model.requires_grad_(requires_grad=False)
        editable = cls(model, tokenizer, locate(model))
        editable._check_head()
        _ = editable.window
        return editable

    @property
    def depth(self) -> int:
        """How many blocks there are."""
        return len(self.anatomy.blocks)

    @property
    def hidden_size(self) -> int:
        """d_out."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def window(self) -> int:
        """Longest sequence the model takes, in tokens."""
        window = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if window is None:
            raise UnsupportedArchitecture("the model names no longest sequence", value=type(self.model).__name__)
        return int(window)

    @property
    def device(self) -> torch.device:
        """Where the input embeddings are."""
        return self.model.get_input_embeddings().weight.device  # type: ignore[return-value]

    def block(self, layer: int) -> nn.Module:
        """The decoder block at ``layer``."""
        self.check_layer(layer)
        return self.anatomy.blocks[layer]

    def projection(self, layer: int) -> nn.Module:
        """The MLP down-projection at ``layer``."""
        self.check_layer(layer)
        return self.model.get_submodule(self.anatomy.projections[layer])

    def check_layer(self, layer: int) -> None:
        """Raise LayerOutOfRange unless the model has this layer."""
        if not 0 <= layer < self.depth:
            raise LayerOutOfRange(f"the model has layers 0 to {self.depth - 1}", field="layers", value=layer)

    def key_width(self, layer: int) -> int:
        """d_in at ``layer``."""
        return _in_features(self.projection(layer))

    def weight(self, layer: int) -> Tensor:
        """The live weight, (d_out, d_in), in the model's dtype: a view, not a copy."""
        return _oriented(self.projection(layer))

    def master(self, layer: int) -> Tensor:
        """The weight's master, (d_out, d_in), float32 or wider; made from the weight when first asked for."""
        if layer not in self.masters:
            weight = self.weight(layer)
            wide = torch.promote_types(weight.dtype, torch.float32)
            self.masters[layer] = weight.to(wide, copy=True, memory_format=torch.contiguous_format)
        return self.masters[layer]

    @torch.no_grad()
    def set_master(self, layer: int, master: Tensor) -> None:
        """Replace the master and cast it into the model's weight, in place.

        Raises:
            LayerOutOfRange: this is a shadow, and the layer's weight is not its own.
        """
        if self.owned is not None and layer not in self.owned:
            raise LayerOutOfRange("the shadow was made for other layers", field="layers", value=layer)
        self.masters[layer] = master
        self.weight(layer).copy_(master)

    def add(self, update: WeightUpdate) -> None:
        """Add an update to its layer's master, and cast it into the model's weight."""
        self.set_master(update.layer, self.master(update.layer) + update.dense)

    def shadow(self, layers: Iterable[int]) -> EditableModel:
        """A second module tree over the same storage, but for the weights at ``layers``, of which it has its own.

        Hooks and half-done edits live on the shadow, so that whoever reads this model never sees them.
        """
        shared = {id(t): t for t in (*self.model.parameters(), *self.model.buffers())}
        model = copy.deepcopy(self.model, shared)
        twin = EditableModel(model, self.tokenizer, locate(model), owned=frozenset(layers))
        for layer in sorted(twin.owned or ()):
            module = twin.projection(layer)
            module.weight = nn.Parameter(module.weight.detach().clone(), requires_grad=False)  # type: ignore[operator]
            twin.masters[layer] = self.master(layer)
        return twin

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocabulary) of final-normed hidden states (..., d_out)."""
        head = self.model.get_output_embeddings()  # type: ignore[no-untyped-call]
        assert head is not None
        logits: Tensor = head(hidden)
        cap = getattr(self.model.config.get_text_config(), "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap

    @torch.no_grad()
    def _check_head(self) -> None:
        """Logits by our own way (last block, final norm, head) must be the model's."""
        ids = torch.arange(1, 4, device=self.device).unsqueeze(0)
        outputs: list[Tensor] = []
        handle = self.anatomy.blocks[-1].register_forward_hook(lambda _m, _a, out: outputs.append(first(out)))
        try:
            expected = self.model(input_ids=ids, use_cache=False).logits
        finally:
            handle.remove()
        found = self.logits(self.anatomy.final_norm(outputs[0]))
        if not torch.allclose(found.float(), expected.float(), rtol=1e-3, atol=1e-3):
            detail = "the model does more after its last block than a norm and the output embeddings"
            raise UnsupportedArchitecture(detail, value=type(self.model).__name__)


def first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """A block's hidden states: blocks return a tensor or a tuple that starts with it."""
    return output if isinstance(output, Tensor) else output[0]

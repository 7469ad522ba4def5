"""A model whose down-projections can be edited: masters, corrections, shadows.

Here and everywhere else a weight, a master and an update are (d_out, d_in), as in ``nn.Linear``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from app.domain.errors import LayerOutOfRange, NonFiniteUpdate, UnsupportedArchitecture
from workers.editing.model.anatomy import (
    Anatomy,
    Site,
    attention,
    device_of,
    in_features,
    locate,
    oriented,
    takes_runs,
    window,
)
from workers.editing.model.overflow import OTHER_DTYPE, first_overflow, overflow_at
from workers.editing.model.placement import refuse_offloaded
from workers.editing.model.updates import LayerWeights, LowRank, WeightUpdate


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
    bases: dict[int, Tensor] = field(default_factory=dict)
    """The masters as they were before any edit."""
    corrections: dict[int, LowRank] = field(default_factory=dict)
    """What stands on top of a master in the model's weight (``WeightUpdate.correction``)."""
    owned: frozenset[int] | None = None
    """Layers whose weights are its own; None for a model that owns them all."""
    takes_runs: bool = False
    """Whether the blocks take rows of several lengths as one run (``ragged``)."""

    @classmethod
    def of(cls, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> EditableModel:
        """Take a loaded model: put it into evaluation mode, freeze it, find its parts, check them.

        Raises:
            UnsupportedArchitecture: the parts were not found, or do not add up to the model's own logits.
            UnsupportedPlacement: a weight is offloaded.
        """
        refuse_offloaded(model)
        model.train(mode=False)
        model.requires_grad_(requires_grad=False)
        editable = cls(model, tokenizer, locate(model), takes_runs=takes_runs(model))
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
        """The longest sequence that the model takes, in tokens."""
        return window(self.model)

    @property
    def device(self) -> torch.device:
        """Where the model takes its token ids, and gives its logits."""
        return device_of(self.model)

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """Where its weights lie, in order: one device, unless it is laid out over several."""
        found = {weight.device for weight in self.model.parameters()}
        return tuple(sorted(found, key=lambda device: (device.type, device.index or 0)))

    @property
    def head_device(self) -> torch.device:
        """Where ``logits`` are made."""
        head = self.model.get_output_embeddings()  # type: ignore[no-untyped-call]
        found: torch.device = next(iter(head.parameters())).device
        return found

    def device_at(self, layer: int) -> torch.device:
        """Where the weight at ``layer`` lies, and with it all that an edit of it is computed from."""
        return self.weight(layer).device

    def block(self, layer: int) -> nn.Module:
        """The decoder block at ``layer``."""
        self.check_layer(layer)
        return self.anatomy.blocks[layer]

    def projection(self, layer: int) -> nn.Module:
        """The MLP down-projection at ``layer``."""
        self.check_layer(layer)
        return self.model.get_submodule(self.anatomy.projections[layer])

    def site(self, layer: int, site: Site) -> nn.Module:
        """The module at ``layer`` whose output a δ is added to.

        Raises:
            LayerOutOfRange: there is no such layer. UnsupportedArchitecture: its block has no single attention.
        """
        match site:
            case Site.BLOCK:
                return self.block(layer)
            case Site.ATTENTION:
                return attention(self.block(layer))
            case Site.DOWN_PROJECTION:
                return self.projection(layer)

    def check_layer(self, layer: int) -> None:
        """Raise LayerOutOfRange unless the model has this layer."""
        if not 0 <= layer < self.depth:
            raise LayerOutOfRange(f"the model has layers 0 to {self.depth - 1}", field="layers", value=layer)

    def key_width(self, layer: int) -> int:
        """d_in at ``layer``."""
        return in_features(self.projection(layer))

    def weight(self, layer: int) -> Tensor:
        """The live weight, (d_out, d_in), in the model's dtype: a view, not a copy."""
        return oriented(self.projection(layer))

    def master(self, layer: int) -> Tensor:
        """The weight's master, (d_out, d_in), float32 or wider; made from the weight when first asked for."""
        if layer not in self.masters:
            weight = self.weight(layer)
            wide = torch.promote_types(weight.dtype, torch.float32)
            made = weight.to(wide, copy=True, memory_format=torch.contiguous_format)
            # The base first, and neither overwritten: another thread may be making the same layer's master.
            self.masters.setdefault(layer, self.bases.setdefault(layer, made))
        return self.masters[layer]

    def base(self, layer: int) -> Tensor:
        """The master as it was before any edit."""
        self.master(layer)
        return self.bases[layer]

    def weights(self, layer: int) -> LayerWeights:
        """The layer's matrix: as it was loaded, with all updates summed, and as it is in service."""
        master = self.master(layer)
        return LayerWeights(self.bases[layer], master, self._applied(layer))

    def _applied(self, layer: int) -> Tensor:
        correction = self.corrections.get(layer)
        return self.masters[layer] if correction is None else self.masters[layer] + correction.dense

    @torch.no_grad()
    def set_master(self, layer: int, master: Tensor, correction: LowRank | None = None) -> None:
        """Replace the master and its correction, and cast their sum into the model's weight, in place.

        Raises:
            LayerOutOfRange: this is a shadow, and the layer's weight is not its own.
            NonFiniteUpdate: the weight would not be finite in the model's dtype, which holds less than the master.
        """
        if self.owned is not None and layer not in self.owned:
            raise LayerOutOfRange("the shadow was made for other layers", field="layers", value=layer)
        self.master(layer)  # so that the base is known
        self.masters[layer] = master
        self.corrections.pop(layer, None)
        if correction is not None and correction.rank > 0:
            self.corrections[layer] = correction
        weight, applied = self.weight(layer), self._applied(layer)
        weight.copy_(applied)
        if weight.dtype is not applied.dtype and not bool(torch.isfinite(weight).all()):
            kind = str(weight.dtype).removeprefix("torch.")
            detail = f"the edited weight of layer {layer} is beyond {kind}'s range: {OTHER_DTYPE}, or edit more gently"
            raise NonFiniteUpdate(detail, field="layers", value=layer)

    def add(self, update: WeightUpdate) -> None:
        """Add an update to its layer's master, and cast it into the model's weight."""
        layer = update.layer
        self.set_master(layer, self.master(layer) + update.dense, update.correction or self.corrections.get(layer))

    def adopt(self, other: EditableModel, layers: Iterable[int]) -> None:
        """Take over a shadow's masters, corrections and weights at these layers, by reference: it is quick.

        The shadow must not be edited from here on.
        """
        for layer in layers:
            self.master(layer)  # so that the base is known
            self.masters[layer] = other.master(layer)
            self.corrections.pop(layer, None)
            if layer in other.corrections:
                self.corrections[layer] = other.corrections[layer]
            mine, theirs = self.projection(layer).weight, other.projection(layer).weight
            assert isinstance(mine, Tensor)
            assert isinstance(theirs, Tensor)
            mine.data = theirs.data

    def shadow(self, layers: Iterable[int]) -> EditableModel:
        """A second module tree over the same storage, but for the weights at ``layers``, of which it has its own.

        Hooks and half-done edits live on the shadow, so that readers of this model never see them.
        """
        shared = {id(t): t for t in (*self.model.parameters(), *self.model.buffers())}
        model = copy.deepcopy(self.model, shared)
        twin = EditableModel(model, self.tokenizer, locate(model), owned=frozenset(layers), takes_runs=self.takes_runs)
        for layer in sorted(twin.owned or ()):
            module = twin.projection(layer)
            module.weight = nn.Parameter(module.weight.detach().clone(), requires_grad=False)  # type: ignore[operator]
            twin.masters[layer] = self.master(layer)
            twin.bases[layer] = self.bases[layer]
            if layer in self.corrections:
                twin.corrections[layer] = self.corrections[layer]
        return twin

    def unedited(self) -> EditableModel:
        """A shadow with the weights as they were before any edit."""
        layers = tuple(self.masters)  # once: another thread may be making a master
        shadow = self.shadow(layers)
        for layer in layers:
            shadow.set_master(layer, self.base(layer))
        return shadow

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocabulary) of final-normed hidden states (..., d_out), where the output embeddings lie."""
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
        if not bool(torch.isfinite(expected).all()):
            detail = overflow_at(self.model, first_overflow(self.model, ids) or "the logits")
            raise UnsupportedArchitecture(detail, field="model", value=type(self.model).__name__)
        found = self.logits(self.anatomy.final_norm(outputs[0]))
        if not torch.allclose(found.float().to(expected.device), expected.float(), rtol=1e-3, atol=1e-3):
            detail = "the model does more after its last block than a norm and the output embeddings"
            raise UnsupportedArchitecture(detail, value=type(self.model).__name__)


def first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """A block's hidden states: blocks return a tensor or a tuple that starts with it."""
    return output if isinstance(output, Tensor) else output[0]

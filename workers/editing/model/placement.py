"""A model larger than one accelerator: which of its parts lies where, and what carries states from one to the next.

Where is accelerate's answer, as behind transformers' ``device_map="balanced"``. Its hooks are not used: they bind a
module's ``forward`` to the module and keep tensors of their own, and a shadow is a deep copy of modules over the same
storage. torch's hooks are copied with their module, and those that come after them see a block's arguments where the
block is, so that a replay of blocks carries nothing but hidden states.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from app.domain.errors import UnsupportedPlacement
from workers.editing.model.anatomy import device_of, locate

ALL = "all"
"""In place of a device's name: all accelerators that torch sees."""

Where = Mapping[str, torch.device]
"""By dotted name of a part that is called as a whole, the device of all of its tensors."""


def place(model: PreTrainedModel, device: str) -> None:
    """Move a model that is on the CPU to a device, or lay its parts out over all of them.

    Raises:
        UnsupportedPlacement: as ``balanced`` and ``lay_out`` say.
    """
    if device == ALL:
        lay_out(model, balanced(model, accelerators()))
    else:
        nn.Module.to(model, torch.device(device))


def accelerators() -> dict[int, int]:
    """Free bytes of each accelerator that torch sees.

    Raises:
        UnsupportedPlacement: it sees none.
    """
    if not torch.cuda.is_available():
        raise UnsupportedPlacement("torch sees no accelerator to lay the model out over: name a device", value=ALL)
    return {index: torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())}


def balanced(model: PreTrainedModel, free: Mapping[int, int]) -> Where:
    """About as many bytes on each accelerator, one part after another; a block is never divided.

    Args:
        free: bytes by accelerator.

    Raises:
        UnsupportedPlacement: the package accelerate is missing, or the weights do not fit.
    """
    try:
        from accelerate.utils import get_balanced_memory, infer_auto_device_map
    except ImportError:
        detail = "to lay a model out over all accelerators, install palimpsest[accelerate]"
        raise UnsupportedPlacement(detail, value=ALL) from None
    whole = sorted({type(block).__name__ for block in locate(model).blocks})
    room = get_balanced_memory(model, max_memory=dict(free), no_split_module_classes=whole)
    # Nothing but accelerators: what does not fit there would be left on the CPU or on disk, where it cannot be edited.
    room = {index: room[index] for index in free}
    found = infer_auto_device_map(model, max_memory=room, no_split_module_classes=whole, clean_result=False)
    if left := [name for name, device in found.items() if not isinstance(device, int)]:
        size = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())
        detail = (
            f"{size / 1e9:.1f} GB of weights do not fit into the {sum(free.values()) / 1e9:.1f} GB that are free on "
            f"{len(free)} accelerators ({left[0]} is left over), and what is not on one cannot be edited"
        )
        raise UnsupportedPlacement(detail, value=ALL)
    # What has no weights (rotary positions) would be the last part, and every pass's states be copied there and back.
    first = next(iter(found.values()))
    at = {
        name: index if any(True for _ in model.get_submodule(name).parameters()) else first
        for name, index in found.items()
    }
    return {name: torch.device("cuda", index) for name, index in at.items()}


def lay_out(model: PreTrainedModel, where: Where) -> None:
    """Move each part to its device, and have it take what it is called with there. Logits come back to the token ids.

    Raises:
        UnsupportedPlacement: two parts that lie apart share a weight, or one is no module.
    """
    for name, device in _called(model, where).items():
        part = model.get_submodule(name)
        nn.Module.to(part, device)
        part.register_forward_pre_hook(_bringing(device), with_kwargs=True)
    for name, device in _called(model, where).items():
        tensors = (*model.get_submodule(name).parameters(), *model.get_submodule(name).buffers())
        if any(tensor.device != device for tensor in tensors):
            raise UnsupportedPlacement(f"{name} shares a weight with a part on another device", value=name)
    model.register_forward_hook(_returning(device_of(model)))


def refuse_offloaded(model: nn.Module) -> None:
    """Raise UnsupportedPlacement if a weight is on ``meta``: it is on disk, or nowhere, and cannot be edited."""
    left = next((name for name, weight in model.named_parameters() if weight.is_meta), None)
    if left is not None:
        detail = f"{left} is offloaded: every weight of a model that is edited has to lie on a device"
        raise UnsupportedPlacement(detail, field="model", value=left)


def _called(model: nn.Module, where: Where) -> Where:
    """The same by parts that are called: a list of blocks is not, its blocks are."""
    found: dict[str, torch.device] = {}
    for name, device in where.items():
        try:
            part = model.get_submodule(name)
        except AttributeError:
            raise UnsupportedPlacement(f"{name} belongs to no part that is called as a whole", value=name) from None
        inner = [f"{name}.{each}" for each, _ in part.named_children()] if isinstance(part, nn.ModuleList) else [name]
        found |= dict.fromkeys(inner, device)
    return found


def _bringing(device: torch.device) -> Any:
    """A hook that brings a module's arguments to its device."""

    def bring(_module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        return _brought(args, device), _brought(kwargs, device)

    return bring


def _returning(device: torch.device) -> Any:
    """A hook that brings logits to where the token ids are: whoever chooses the next token feeds it there."""

    def give(_module: nn.Module, _args: Any, output: Any) -> Any:
        output.logits = output.logits.to(device)
        return output

    return give


def _brought(value: Any, device: torch.device) -> Any:
    """Tensors of an argument on a device. A cache stays as it is: each layer keeps its own keys and values."""
    match value:
        case Tensor():
            return value.to(device)
        case tuple() | list():
            return type(value)(_brought(each, device) for each in value)
        case dict():
            return {name: _brought(each, device) for name, each in value.items()}
        case _:
            return value

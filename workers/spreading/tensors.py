"""What of a slice is no text: the updates that it is computed with, and what it came to; as safetensors, all bits kept.

A factor is not narrowed to float32, as it is in the log: whoever computes shall have the leader's weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from app.domain.errors import RequestError
from app.domain.log_form import described
from workers.editing.descent.targets import Descended
from workers.editing.model.updates import DeviceAt, LowRank, WeightUpdate


def pack_updates(updates: Sequence[WeightUpdate]) -> bytes:
    """``{n}.{layer}.left`` (d_out, r), ``.right`` (r, d_in), and where there are, ``.mask`` and ``.correction.*``."""
    named = ((f"{n}.{update.layer}.", update) for n, update in enumerate(updates))
    return save({head + name: _plain(part) for head, update in named for name, part in _parts(update)})


def unpack_updates(data: bytes, device_at: DeviceAt) -> list[WeightUpdate]:
    """What ``pack_updates`` wrote, without keys, each on its layer's device.

    ``device_at``: raises LayerOutOfRange for a layer that is not there.

    Raises:
        RequestError: it is damaged.
    """
    tensors = _loaded(data)
    heads = sorted({tuple(map(int, name.split(".")[:2])) for name in tensors})
    try:
        return [_update(layer, f"{n}.{layer}.", tensors, device_at(layer)) for n, layer in heads]
    except KeyError:
        raise RequestError("an update of the slice is not whole") from None


def pack_descended(found: Descended) -> bytes:
    """Targets (d_out, groups), losses and steps (facts,)."""
    return save({"targets": _plain(found.targets), "losses": _plain(found.losses), "steps": _plain(found.steps)})


def unpack_descended(data: bytes, shape: tuple[int, int], facts: int, device: torch.device) -> Descended:
    """What ``pack_descended`` wrote; ``shape``: of the targets.

    Raises:
        RequestError: it is damaged, or not what was asked for.
    """
    tensors = _loaded(data)
    shapes = {"targets": shape, "losses": (facts,), "steps": (facts,)}
    _refuse_others(tensors, shapes)
    if not bool(torch.isfinite(tensors["targets"]).all()):
        raise RequestError("targets of a slice are not finite")
    return Descended(*(tensors[name].to(device) for name in ("targets", "losses", "steps")))


def pack_keys(keys: Mapping[int, Tensor]) -> bytes:
    """By layer, keys (d_in, groups)."""
    return save({str(layer): _plain(each) for layer, each in keys.items()})


def unpack_keys(data: bytes, shapes: Mapping[int, tuple[int, int]], device_at: DeviceAt) -> dict[int, Tensor]:
    """What ``pack_keys`` wrote, each layer's on its device; ``shapes``: by layer.

    Raises:
        RequestError: it is damaged, or not what was asked for.
    """
    tensors = _loaded(data)
    _refuse_others(tensors, {str(layer): shape for layer, shape in shapes.items()})
    return {layer: tensors[str(layer)].to(device_at(layer)) for layer in shapes}


def _loaded(data: bytes) -> dict[str, Tensor]:
    try:
        return load(data)
    except SafetensorError as error:
        raise RequestError(f"tensors of a slice are damaged: {described(error)}") from None


def _refuse_others(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if found != dict(shapes):
        raise RequestError(f"tensors of a slice are {found}, and {dict(shapes)} were asked for")


def _parts(update: WeightUpdate) -> Iterator[tuple[str, Tensor]]:
    yield "left", update.left
    yield "right", update.right
    if update.mask is not None:
        yield "mask", update.mask
    if update.correction is not None:
        yield "correction.left", update.correction.left
        yield "correction.right", update.correction.right


def _update(layer: int, head: str, tensors: Mapping[str, Tensor], device: torch.device) -> WeightUpdate:
    def part(name: str) -> Tensor:
        return tensors[head + name].to(device, copy=True)  # memory of its own, as where it was computed

    left, right = part("left"), part("right")
    mask = part("mask") if f"{head}mask" in tensors else None
    lower = LowRank(part("correction.left"), part("correction.right")) if f"{head}correction.left" in tensors else None
    return WeightUpdate(layer, left, right, right.new_zeros(right.shape[1], 0), mask, lower)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)  # a file shares no memory

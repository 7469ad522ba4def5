"""A version's tensors as the edit log keeps them: factors, keys, masks and corrections, one safetensors file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from workers.editing.model.updates import DeviceAt, LowRank, WeightUpdate

UPDATE_FILE = "update.safetensors"

BITS = 8
"""Entries of a mask in one byte, the first one lowest."""


def as_kept(update: WeightUpdate) -> WeightUpdate:
    """The update with its keys as they will read back, so that a worker and its restart hold the same K_p."""
    return replace(update, keys=update.keys.float().double())


def pack(updates: Sequence[WeightUpdate]) -> bytes:
    """``layer.{i}.left`` (d_out, r), ``.right`` (r, d_in) and ``.keys`` (d_in, n), float32.

    Where there is one, ``.mask``: (⌈d_out · d_in / 8⌉,), uint8, a bit an entry, row after row. Where there is one,
    ``.correction.left`` (d_out, s) and ``.correction.right`` (s, d_in), float32; s may be 0.
    """
    return save({f"layer.{update.layer}.{name}": part for update in updates for name, part in _parts(update)})


def unpack(data: bytes, device_at: DeviceAt) -> list[WeightUpdate]:
    """What ``pack`` wrote, by rising layer, each on its layer's device; keys as float64."""
    tensors = load(data)
    layers = sorted({int(name.split(".")[1]) for name in tensors})
    return [_read(layer, tensors, device_at(layer)) for layer in layers]


def _parts(update: WeightUpdate) -> Iterator[tuple[str, Tensor]]:
    yield "left", _kept(update.left)
    yield "right", _kept(update.right)
    yield "keys", _kept(update.keys)
    if update.mask is not None:
        yield "mask", _bits(update.mask.cpu())
    if update.correction is not None:
        yield "correction.left", _kept(update.correction.left)
        yield "correction.right", _kept(update.correction.right)


def _read(layer: int, tensors: Mapping[str, Tensor], device: torch.device) -> WeightUpdate:
    def part(name: str) -> Tensor:
        # A tensor of a file begins anywhere; a matrix product may round by where its operands begin, so each gets
        # memory of its own, as it had when it was computed.
        return tensors[f"layer.{layer}.{name}"].to(device, copy=True)

    left, right, mask, correction = part("left"), part("right"), None, None
    if f"layer.{layer}.mask" in tensors:
        mask = _entries(part("mask"), len(left), right.shape[1])
    if f"layer.{layer}.correction.left" in tensors:
        correction = LowRank(part("correction.left"), part("correction.right"))
    return WeightUpdate(layer, left, right, part("keys").double(), mask, correction)


def _kept(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32).contiguous()


def _bits(mask: Tensor) -> Tensor:
    """A mask as bytes, the last one filled up with zeros."""
    flat = mask.flatten().to(torch.uint8)
    padded = nn.functional.pad(flat, (0, -len(flat) % BITS))
    return (padded.view(-1, BITS) << torch.arange(BITS, dtype=torch.uint8)).sum(dim=1, dtype=torch.uint8)


def _entries(packed: Tensor, rows: int, columns: int) -> Tensor:
    """The mask (rows, columns), bool, that ``_bits`` packed."""
    shifts = torch.arange(BITS, dtype=torch.uint8, device=packed.device)
    flat = (packed.unsqueeze(1) >> shifts) & 1
    return flat.flatten()[: rows * columns].view(rows, columns).bool()

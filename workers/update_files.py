"""A version's tensors as the edit log keeps them: low-rank factors and keys, float32, one safetensors file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from workers.editing.types import WeightUpdate

UPDATE_FILE = "update.safetensors"


def as_kept(update: WeightUpdate) -> WeightUpdate:
    """The update with its keys as they will read back, so that a worker and its restart hold the same K_p."""
    return WeightUpdate(update.layer, update.left, update.right, update.keys.float().double())


def pack(updates: Sequence[WeightUpdate]) -> bytes:
    """``layer.{i}.left`` (d_out, n), ``.right`` (n, d_in) and ``.keys`` (d_in, n), float32."""
    tensors = {}
    for update in updates:
        for part in ("left", "right", "keys"):
            tensor = getattr(update, part).detach().to("cpu", torch.float32)
            tensors[f"layer.{update.layer}.{part}"] = tensor.contiguous()
    return save(tensors)


def unpack(path: Path, device: torch.device) -> list[WeightUpdate]:
    """What ``pack`` wrote, by rising layer; keys as float64."""
    tensors = load_file(path)
    layers = sorted({int(name.split(".")[1]) for name in tensors})
    return [
        WeightUpdate(
            layer,
            tensors[f"layer.{layer}.left"].to(device),
            tensors[f"layer.{layer}.right"].to(device),
            tensors[f"layer.{layer}.keys"].to(device).double(),
        )
        for layer in layers
    ]

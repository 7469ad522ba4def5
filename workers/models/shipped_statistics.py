"""Second moments that ship for a model, by its fingerprint: the lower halves, since C is symmetric."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

FOLDER = Path(__file__).resolve().parent / "statistics"


def shipped_file(fingerprint: str) -> Path | None:
    """The file of a model; texts that it wrote lie beside it."""
    for path in sorted(FOLDER.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("fingerprint") == fingerprint:
                return path
    return None


def shipped(fingerprint: str) -> tuple[dict[int, Tensor], int] | None:
    """Second moments (d_in, d_in) by layer, float32, and over how many tokens they are; None if none ship."""
    if (path := shipped_file(fingerprint)) is None:
        return None
    with safe_open(path, framework="pt") as file:
        halves = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        tokens = int(file.metadata()["tokens"])
    return {int(name.removeprefix("layer.")): _whole(half) for name, half in halves.items()}, tokens


def ship(name: str, moments: dict[int, Tensor], tokens: int, fingerprint: str) -> Path:
    """Write the file that ``shipped`` reads."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.safetensors"
    halves = {f"layer.{layer}": moment[_lower(len(moment))].contiguous() for layer, moment in moments.items()}
    save_file(halves, path, metadata={"tokens": str(tokens), "fingerprint": fingerprint})
    return path


def _whole(half: Tensor) -> Tensor:
    """The symmetric matrix (n, n) of its lower half (n (n + 1) / 2,), row by row."""
    width = int(((8 * len(half) + 1) ** 0.5 - 1) / 2)
    whole = half.new_zeros(width, width)
    whole[_lower(width)] = half
    return whole + whole.tril(-1).T


def _lower(width: int) -> tuple[Tensor, Tensor]:
    rows, columns = torch.tril_indices(width, width)
    return rows, columns

"""``updates``: what the version adds to each layer, as two factors, for users who add it to weights themselves."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file

from workers.editing.model.updates import LowRank
from workers.exports.content import Content
from workers.exports.low_rank import factored
from workers.exports.package import Package, ReadBack

UPDATES_FILE = "updates.safetensors"


class Updates(Package):
    """One safetensors file: ``layer.{i}.left`` (d_out, r) and ``layer.{i}.right`` (r, d_in), float32.

    Each layer has a rank of its own, and no rank is cut. ``palimpsest.json`` names each layer's module.
    """

    def __init__(self, content: Content) -> None:
        self._origin = content.origin
        changes = content.changes()
        self.factors = {layer: factored(change, min(change.dense.shape)) for layer, change in changes.items()}
        self.tensors = {
            f"layer.{layer}.{side}": part
            for layer, each in self.factors.items()
            for side, part in (("left", each.left), ("right", each.right))
        }

    def write(self, folder: Path) -> None:
        """One file."""
        save_file(dict(self.tensors), folder / UPDATES_FILE)

    def read(self, folder: Path) -> ReadBack:
        """The updates are added to the base model's weights."""
        tensors, model = load_file(folder / UPDATES_FILE), self._origin.base()
        for layer in sorted({int(name.split(".")[1]) for name in tensors}):
            update = LowRank(
                *(tensors[f"layer.{layer}.{side}"].to(model.device_at(layer)) for side in ("left", "right"))
            )
            model.set_master(layer, model.master(layer) + update.dense)
        return ReadBack(tensors, model)

"""A version's state as a snapshot keeps it: masters, K_p and corrections, one safetensors file.

They are taken as they are, bit for bit, on whatever processor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from safetensors.torch import load, save
from torch import Tensor

from app.domain.history.terms import Term
from app.domain.places import Column
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.layer_keys import LayerKeys
from workers.editing.model.updates import DeviceAt, LowRank
from workers.versions.recollection import recalled
from workers.versions.version_state import VersionState

STATE_FILE = "state.safetensors"


def pack_state(state: VersionState) -> bytes:
    """By layer ``.master`` and, if there is one, ``.restrained``: (d_out, d_in), in the master's dtype.

    ``.keys``: K_p (d_in, m), float32, exact since that is how versions keep it; ``.columns``: (m, 2), the version and
    position of each key. If there is one, ``.correction.left`` (d_out, s) and ``.correction.right`` (s, d_in).
    """
    return save({f"layer.{layer}.{name}": part for layer in state.masters for name, part in _parts(state, layer)})


def unpack_state(data: bytes, terms: Sequence[Term], device_at: DeviceAt) -> VersionState:
    """What ``pack_state`` wrote, each layer's on its device.

    Args:
        terms: what the snapshot's version is made of; they say which facts are in force.
    """
    tensors = load(data)
    layers = sorted({int(name.split(".")[1]) for name in tensors})

    def parts(name: str) -> dict[int, Tensor]:
        # Each in memory of its own, as in ``update_files``.
        found = ((layer, f"layer.{layer}.{name}") for layer in layers)
        return {layer: tensors[each].to(device_at(layer), copy=True) for layer, each in found if each in tensors}

    def previous_at(layer: int) -> LayerKeys:
        # Keys are most of the file: they leave it as they are copied.
        columns, keys = tensors[f"layer.{layer}.columns"], tensors.pop(f"layer.{layer}.keys")
        return _layer_keys(columns, keys.to(device_at(layer)))

    left, right = parts("correction.left"), parts("correction.right")
    corrections = {layer: LowRank(left[layer], right[layer]) for layer in left}
    previous = {layer: previous_at(layer) for layer in layers}
    return VersionState(parts("master"), corrections, parts("restrained"), recalled(terms, previous))


def _parts(state: VersionState, layer: int) -> Iterator[tuple[str, Tensor]]:
    known = state.knowledge.layers[layer]
    yield "master", _kept(state.masters[layer])
    yield "keys", _kept(known.keys.float())
    yield "columns", torch.tensor(known.columns, dtype=torch.int64).view(-1, 2)
    if layer in state.restrained:
        yield "restrained", _kept(state.restrained[layer])
    if layer in state.corrections:
        yield "correction.left", _kept(state.corrections[layer].left)
        yield "correction.right", _kept(state.corrections[layer].right)


def _layer_keys(columns: Tensor, keys: Tensor) -> LayerKeys:
    labels = tuple(Column(version, position) for version, position in columns.tolist())
    return LayerKeys(labels, PreviousKeys.empty(len(keys), keys.device).append(keys))


def _kept(tensor: Tensor) -> Tensor:
    """In memory of its own: a file has no two names for one tensor."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)

"""What a worker holds at a version, as one file: a start from it need not replay the versions before."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import torch
from safetensors.torch import load, save
from torch import Tensor

from app.domain.edit_log import EditLog, LogReader
from app.domain.replays import Replay
from app.domain.terms import Term
from workers.editing.architectures import EditableModel
from workers.editing.knowledge import Column, LayerKeys
from workers.editing.previous_keys import PreviousKeys
from workers.editing.types import LowRank
from workers.replay import VersionState, recalled, replayed

logger = logging.getLogger(__name__)

STATE_FILE = "state.safetensors"


def state_at(editable: EditableModel, log: LogReader, route: Replay) -> VersionState:
    """The state that a route leads to, from its snapshot if it has one. Nothing of the tree changes.

    Raises:
        DamagedVersion: a version does not have the bytes that were committed, or does not follow from those before.
    """
    start = VersionState()
    if route.snapshot is not None:
        start = unpack_state(route.snapshot.files[STATE_FILE], route.covered, editable.device)
    return replayed(editable, log, route, start)


class Snapshots:
    """Writes a snapshot whenever a start would have to replay ``every`` versions or more."""

    def __init__(self, log: EditLog, every: int) -> None:
        self._log, self._every, self._steps = log, every, 0

    def stepped(self, editable: EditableModel, version: int) -> None:
        """The model is at its next version: that is one step more to replay."""
        self._keep(editable, version, self._steps + 1)

    def jumped(self, editable: EditableModel, version: int) -> None:
        """The model is at a version, whatever it was before."""
        self._keep(editable, version)

    def _keep(self, editable: EditableModel, version: int, steps: int | None = None) -> None:
        """Write a snapshot if it is time. One that cannot be written is only missed."""
        try:
            self._steps = self._log.steps_to(version) if steps is None else steps
            if self._steps < self._every:
                return
            state = state_at(editable, self._log, self._log.replay(version))
            self._log.write_snapshot(version, {STATE_FILE: pack_state(state)})
            self._steps = 0
        except Exception as error:  # whatever it is: the version is in service, and its job must not fail by this
            logger.warning("no snapshot: %r", error, extra={"model": self._log.model, "version": version})


def pack_state(state: VersionState) -> bytes:
    """By layer ``.master`` and, if there is one, ``.restrained``: (d_out, d_in), in the master's dtype.

    ``.keys``: K_p (d_in, m), float32, exact since that is how versions keep it; ``.columns``: (m, 2), the version and
    position of each key. If there is one, ``.correction.left`` (d_out, s) and ``.correction.right`` (s, d_in).
    """
    return save({f"layer.{layer}.{name}": part for layer in state.masters for name, part in _parts(state, layer)})


def unpack_state(data: bytes, terms: Sequence[Term], device: torch.device) -> VersionState:
    """What ``pack_state`` wrote.

    Args:
        terms: what the snapshot's version is made of; they say which facts are in force.
    """
    tensors = load(data)
    layers = sorted({int(name.split(".")[1]) for name in tensors})

    def parts(name: str) -> dict[int, Tensor]:
        # Each in memory of its own, as in ``update_files``.
        found = ((layer, f"layer.{layer}.{name}") for layer in layers)
        return {layer: tensors[each].to(device, copy=True) for layer, each in found if each in tensors}

    left, right = parts("correction.left"), parts("correction.right")
    corrections = {layer: LowRank(left[layer], right[layer]) for layer in left}
    columns, keys = parts("columns"), parts("keys")
    previous = {layer: _layer_keys(columns[layer], keys[layer]) for layer in layers}
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
    return LayerKeys(labels, PreviousKeys.empty(len(keys), keys.device).append(keys.double()))


def _kept(tensor: Tensor) -> Tensor:
    """In memory of its own: a file has no two names for one tensor."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)

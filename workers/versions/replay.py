"""From the edit log to what a version is: the same updates, in order, by the same additions.

On one machine that gives the same bytes again. On another processor the products that are added may round otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from app.domain.history.terms import Term
from app.domain.log.replays import Replay
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.updates import DeviceAt, WeightUpdate
from workers.versions.recollection import followed, places_of
from workers.versions.state_files import STATE_FILE, unpack_state
from workers.versions.update_files import UPDATE_FILE, unpack
from workers.versions.version_state import VersionState


class Files(Protocol):
    """Where the tensors of versions are read: the log, or the log and a proposal that rests on it."""

    def read(self, version: int, name: str) -> bytes:
        """A version's file, checked byte by byte; raises as ``LogReader.read`` does."""


def replayed(editable: EditableModel, log: Files, route: Replay, start: VersionState) -> VersionState:
    """The state that a route leads to. The model's weights stay as they are; W_0 is read from it.

    Args:
        start: what the route's snapshot holds; the base's state if it has none.

    Raises:
        DamagedVersion: a version does not have the bytes that were committed, or does not follow from those before.
    """
    places, state = places_of(route.terms), start
    for term in route.rest:
        updates, positions = counted(log, term, editable.device_at)
        for update in updates:
            state = state.with_update(update, editable.base(update.layer))
        keys = {update.layer: update.keys for update in updates}
        state = replace(state, knowledge=followed(state.knowledge, term, places, positions, keys))
    return state


def counted(log: Files, term: Term, device_at: DeviceAt) -> tuple[list[WeightUpdate], list[int]]:
    """A term's updates without the columns that reverts have taken out, and the positions of the columns that stay.

    Each update is on its layer's device.

    Raises:
        CompactedVersion: the tensors were removed.
        DamagedVersion: the version does not have the bytes that were committed.
    """
    whole = unpack(log.read(term.version, UPDATE_FILE), device_at)
    positions = _standing(whole, term)
    return [_part(update, positions) for update in whole] if term.taken_out else whole, positions


def _standing(updates: Sequence[WeightUpdate], term: Term) -> list[int]:
    """The columns that count."""
    [width] = {update.keys.shape[1] for update in updates} or {0}
    return [position for position in range(width) if position not in term.taken_out]


def _part(update: WeightUpdate, positions: Sequence[int]) -> WeightUpdate:
    """The update of those columns alone."""
    chosen = list(positions)
    return replace(update, left=update.left[:, chosen], right=update.right[chosen], keys=update.keys[:, chosen])


def norms_between(old: Mapping[int, Tensor], new: Mapping[int, Tensor]) -> dict[int, float]:
    """Frobenius norm of the difference, of each layer that differs."""
    found = {layer: float(torch.linalg.matrix_norm(new[layer] - old[layer])) for layer in sorted(old)}
    return {layer: norm for layer, norm in found.items() if norm > 0}


def state_at(editable: EditableModel, log: Files, route: Replay) -> VersionState:
    """The state that a route leads to, from its snapshot if it has one. The model's weights stay as they are.

    Raises:
        DamagedVersion: a version does not have the bytes that were committed, or does not follow from those before.
    """
    start = VersionState()
    if route.snapshot is not None:
        start = unpack_state(route.snapshot.files[STATE_FILE], route.covered, editable.device_at)
    return replayed(editable, log, route, start)

"""Changes of versions whose updates were compacted away: a snapshot has their weights, and the base model is read."""

from __future__ import annotations

import threading
from collections.abc import Callable

from torch import Tensor

from app.domain.log.reader import LogReader
from workers.editing.model.editable_model import EditableModel
from workers.versions.replay import state_at


class SnapshotChanges:
    """Loads the base model when it is first asked, and keeps it. Any thread may ask."""

    def __init__(self, log: LogReader, load: Callable[[], EditableModel]) -> None:
        self._log, self._load = log, load
        self._base: EditableModel | None = None
        self._lock = threading.Lock()

    def __call__(self, version: int) -> dict[int, Tensor]:
        """By layer, what the version adds to the base model's weights, (d_out, d_in), float64.

        Raises:
            CompactedVersion, DamagedVersion: no snapshot has it. ModelMismatch: the base model is not there.
        """
        with self._lock:
            if self._base is None:
                self._base = self._load()
            base = self._base
        applied = state_at(base, self._log, self._log.replay(version)).applied
        return {layer: weight.double() - base.base(layer).double() for layer, weight in applied.items()}

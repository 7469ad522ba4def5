"""What a worker holds at a version, as one file: a start from it need not replay the versions before."""

from __future__ import annotations

import logging

from app.domain.errors import PalimpsestError
from app.domain.log.edit_log import EditLog
from workers.editing.model.editable_model import EditableModel
from workers.versions.replay import state_at
from workers.versions.state_files import STATE_FILE, pack_state

logger = logging.getLogger(__name__)


class Snapshots:
    """Writes a snapshot whenever a start would have to replay ``every`` versions or more."""

    def __init__(self, log: EditLog, every: int) -> None:
        self._log, self._every, self._steps = log, every, 0

    def stepped(self, editable: EditableModel, version: int) -> None:
        """The model is at its next version: that is one step more to replay."""
        self._keep(editable, version, self._steps + 1)

    def jumped(self, editable: EditableModel, version: int) -> None:
        """The model is at a version by another way: count anew what a start would replay."""
        self._keep(editable, version)

    def _keep(self, editable: EditableModel, version: int, steps: int | None = None) -> None:
        """Write a snapshot if it is due. That it cannot be written is logged, and no error."""
        try:
            self._steps = self._log.steps_to(version) if steps is None else steps
            if self._steps < self._every:
                return
            state = state_at(editable, self._log, self._log.replay(version))
            self._log.write_snapshot(version, {STATE_FILE: pack_state(state)})
            self._steps = 0
        except (PalimpsestError, OSError) as error:
            logger.warning("no snapshot: %s", error, extra=self._named(version))
        except Exception:  # the version is committed and in service: no failure here may count as its job's
            logger.exception("no snapshot", extra=self._named(version))

    def _named(self, version: int) -> dict[str, object]:
        return {"model": self._log.model, "version": version}

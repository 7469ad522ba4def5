"""What a worker holds at a version, as one file: a start from it need not replay the versions before."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from app.domain.errors import PalimpsestError
from app.domain.log.edit_log import EditLog
from workers.editing.model.editable_model import EditableModel
from workers.versions.replay import state_at
from workers.versions.state_files import STATE_FILE, pack_state

logger = logging.getLogger(__name__)


class Snapshots:
    """Writes a snapshot whenever a start would have to replay ``every`` versions or more, and thins those before."""

    def __init__(self, log: EditLog, every: int) -> None:
        self._log, self._every, self._steps = log, every, 0

    def stepped(self, editable: EditableModel, version: int, epoch: int) -> None:
        """The model is at its next version: that is one step more to replay. ``epoch``: of the lead."""
        self._steps += 1
        self._keep(editable, version, epoch)

    def jumped(self, editable: EditableModel, version: int, epoch: int) -> None:
        """The model is at a version by another way: count anew what a start would replay."""
        with self._unharmed("a start's way is not known", version):
            self._steps = self._log.steps_to(version)
            self._keep(editable, version, epoch)

    def _keep(self, editable: EditableModel, version: int, epoch: int) -> None:
        """Write a snapshot if it is due, and only then remove those that may go."""
        if self._steps < self._every:
            return
        with self._unharmed("no snapshot", version):
            state = state_at(editable, self._log, self._log.replay(version))
            self._log.write_snapshot(version, {STATE_FILE: pack_state(state)})
            self._steps = 0
        if self._steps == 0:
            with self._unharmed("snapshots not thinned", version):
                self._log.thin_snapshots(epoch)

    @contextmanager
    def _unharmed(self, lost: str, version: int) -> Iterator[None]:
        """What fails within is logged, and no error: the version is committed and in service, and its job succeeds."""
        named = {"model": self._log.model, "version": version}
        try:
            yield
        except (PalimpsestError, OSError) as error:
            logger.warning("%s: %s", lost, error, extra=named)
        except Exception:  # of any kind: no failure here may count as the job's
            logger.exception(lost, extra=named)

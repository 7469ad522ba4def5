"""An export: a version written down for others. It makes no version, and needs the log and the base model alone."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from app.domain.contract import Export, JobOutcome
from workers.exports.export_job import ExportJob
from workers.exports.exporter import Exporter
from workers.host.model_host import ModelHost
from workers.host.turn import Turn
from workers.host.work.base import Work
from workers.steps import Steps


class WriteExport(Work):
    """Writes a version into a folder of the data directory; edits go on meanwhile."""

    aside: ClassVar[bool] = True

    def done(self, host: ModelHost, turn: Turn) -> JobOutcome | None:
        """The outcome of an earlier delivery that finished the folder.

        Raises:
            ExportFailed: the folder's card cannot be read.
        """
        return _job(host, turn).done()

    def do(self, host: ModelHost, turn: Turn, steps: Steps) -> JobOutcome:
        """Write the version that was in service when the job's turn came, unless the caller named another.

        Raises:
            ExportFailed: it could not be written, or did not read back as the version.
        """
        settings, permitted = host.settings, partial(host.log.check_lead, host.epoch)
        exporter = Exporter(host.live, host.log, settings.source, settings.revision, permitted, turn.by)
        return _job(host, turn).run(exporter, turn.version, steps)


def _job(host: ModelHost, turn: Turn) -> ExportJob:
    assert isinstance(turn.request, Export)
    return ExportJob.of(host.settings.data_dir, host.name, turn.job_id, turn.request)

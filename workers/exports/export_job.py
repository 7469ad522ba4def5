"""An export as a job: in a folder that is named by the job, so that a job delivered twice finds what it made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from app.domain.contract import Export, JobId, JobOutcome, JobStatus
from app.domain.errors import RequestError
from app.domain.storage import durable_files
from workers.exports.card import read_card
from workers.exports.exporter import Exporter
from workers.steps import Steps

EXPORTS = "exports"
"""Folder of all models' exports, in a worker's data directory."""


@dataclass(frozen=True, slots=True)
class ExportJob:
    """One delivery: ``<data_dir>/exports/<model>/<job id>-<format>`` is its folder, whatever the caller sent."""

    root: Path
    model: str
    job_id: str
    export: Export

    @classmethod
    def of(cls, data_dir: Path, model: str, job_id: str, export: Export) -> ExportJob:
        """The job with this id.

        Raises:
            RequestError: the id is not one that the front end gives.
        """
        try:
            TypeAdapter(JobId).validate_python(job_id)
        except ValidationError:
            raise RequestError("a job that exports has an id of letters, digits, - and _", value=job_id) from None
        return cls(data_dir / EXPORTS, model, job_id, export)

    @property
    def path(self) -> str:
        """The folder, relative to all exports."""
        return f"{self.model}/{self.job_id}-{self.export.format}"

    def done(self) -> JobOutcome | None:
        """The outcome of an earlier delivery, if one finished its folder.

        Raises:
            ExportFailed: the card of a finished folder cannot be read.
        """
        card = read_card(self.root / self.path)
        return None if card is None else JobOutcome(status=JobStatus.SUCCEEDED, exported=card.report)

    def run(self, exporter: Exporter, version: int, steps: Steps) -> JobOutcome:
        """Export a version; what a killed delivery left is removed first. Only the model's leader may.

        Args:
            version: the one in service when the job's turn came, which is exported unless the caller named another.

        Raises:
            As ``Exporter.export``.
        """
        target = self.root / self.path
        durable_files.sweep(target.parent)
        chosen = version if self.export.version is None else self.export.version
        wanted, kind = self.export.format, self.export.gguf_type
        report = exporter.export(wanted, chosen, target, self.path, steps, job=self.job_id, gguf_type=kind)
        return JobOutcome(status=JobStatus.SUCCEEDED, exported=report)

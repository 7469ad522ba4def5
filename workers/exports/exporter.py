"""From a version to a folder: put together, written beside its place, loaded back, compared, then put there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from safetensors import SafetensorError

from app.domain.contract import ExportFormat, ExportReport, Progress
from app.domain.errors import ExportFailed
from app.domain.log.reader import LogReader
from app.domain.storage import durable_files
from workers.editing.model.editable_model import EditableModel
from workers.exports.card import ExportCard, file_records
from workers.exports.content import Content, Origin
from workers.exports.formats import FORMATS
from workers.exports.package import Package
from workers.exports.verification import verify

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exporter:
    """Writes versions of one model down. The live model and the log stay as they are.

    live: the model at any version; no other thread may edit it meanwhile, and any may ask it.
    permitted: asked just before an export is put in its place; raises to withdraw it.
    """

    live: EditableModel
    log: LogReader
    source: str
    revision: str | None
    permitted: Callable[[], None] = lambda: None

    def export(
        self,
        wanted: ExportFormat,
        version: int,
        target: Path,
        path: str,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], None],
        job: str | None = None,
    ) -> ExportReport:
        """Make the folder ``target``: all of it, on disk, or nothing.

        Args:
            path: what the report calls the folder.
            should_stop: called between steps; raises to end it without a trace.

        Raises:
            UnknownVersion, CompactedVersion, DamagedVersion: the version cannot be put together.
            ExportFailed: it could not be written, or did not read back as the version. Whatever ``should_stop`` raises.
        """
        content = self._content(version, on_progress, should_stop)
        package = FORMATS[wanted](content)
        on_progress(Progress(stage="write", share=0.4))
        should_stop()
        try:
            durable_files.make_dir(target.parent)
            with durable_files.building_dir(target, self.permitted) as folder:
                package.write(folder)
                on_progress(Progress(stage="verify", share=0.6))
                should_stop()
                card = self._card(wanted, content, package, folder, path, job)
                should_stop()
                card.write(folder)
                on_progress(Progress(stage="commit", share=0.95))
        except FileExistsError as error:
            raise ExportFailed("the folder of the export is there already", value=path) from error
        except (OSError, SafetensorError) as error:
            self.permitted()  # a newer leader clears away what this one has begun
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise ExportFailed(f"the export could not be written: {reason}", value=path) from error
        on_progress(Progress(stage="publish", share=1.0))
        logger.info("exported as %s", wanted, extra={"job_id": job, "model": self.log.model, "version": version})
        return card.report

    def _content(
        self, version: int, on_progress: Callable[[Progress], None], should_stop: Callable[[], None]
    ) -> Content:
        on_progress(Progress(stage="solve", share=0.0))
        should_stop()
        content = Content.of(self.live, self.log, Origin.of(self.live, self.source, self.revision), version)
        on_progress(Progress(stage="solve", share=0.2))
        should_stop()
        return content

    def _card(
        self, wanted: ExportFormat, content: Content, package: Package, folder: Path, path: str, job: str | None
    ) -> ExportCard:
        """What the verified export says of itself.

        Raises:
            ExportFailed: it is not the version.
        """
        verified = verify(package, content, folder)
        files = file_records(folder)
        report = ExportReport(
            format=wanted,
            version=content.version,
            path=path,
            bytes=sum(record.size for record in files.values()),
            rank=package.rank,
            error=package.error,
            max_logit_difference=verified.max_logit_difference,
            tolerance=verified.tolerance,
        )
        return ExportCard(
            model=content.log.model,
            manifest=self.log.digest(content.version),
            source=self.source,
            revision=self.revision,
            dtype=str(content.origin.dtype).removeprefix("torch."),
            job=job,
            created=datetime.now(UTC),
            report=report,
            modules=content.modules,
            compared=len(content.texts),
            files=files,
        )

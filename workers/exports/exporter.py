"""From a version to a folder: put together, written beside its place, loaded back, compared, then put there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from safetensors import SafetensorError

from app.domain.contract import ExportFormat, ExportReport, GgufType, Progress
from app.domain.errors import ExportFailed
from app.domain.log.reader import LogReader
from app.domain.storage import durable_files
from workers.editing.model.editable_model import EditableModel
from workers.exports.adapter_readme import max_lora_rank
from workers.exports.card import ExportCard, file_records
from workers.exports.content import Content, Origin
from workers.exports.formats import FORMATS
from workers.exports.package import Package
from workers.exports.verification import verify
from workers.steps import Steps

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exporter:
    """Writes versions of one model down. The live model and the log stay as they are.

    live: the model at any version; other threads may ask it, and edit it, meanwhile.
    permitted: asked just before an export is put in its place; raises to withdraw it.
    by: name of the API key that asked for it, if any.
    """

    live: EditableModel
    log: LogReader
    source: str
    revision: str | None
    permitted: Callable[[], None] = lambda: None
    by: str | None = None

    def export(
        self,
        wanted: ExportFormat,
        version: int,
        target: Path,
        path: str,
        steps: Steps,
        job: str | None = None,
        gguf_type: GgufType | None = None,
    ) -> ExportReport:
        """Make the folder ``target``: all of it, on disk, or nothing.

        The content shares with the live model the matrices that no edit has changed so far. If an edit changes one of
        these meanwhile, the export begins again, with a matrix of its own at that layer.

        Args:
            path: what the report calls the folder.
            gguf_type: what changed matrices are kept as in a whole GGUF file; None: as in the file of the model.

        Raises:
            UnknownVersion, CompactedVersion, DamagedVersion: the version cannot be put together.
            NoGgufFile, UnsupportedArchitecture, RequestError: not in this format, or not in this type.
            ExportFailed: it could not be written, or did not read back as the version. Whatever ``steps`` raises.
        """
        while True:
            content = self._content(version, steps)
            try:
                package = FORMATS[wanted].of(content, gguf_type)
                report = self._made(wanted, package, content, target, path, steps, job)
            except ExportFailed:
                if content.is_apart(self.live):
                    raise
                logger.info("export begun again", extra={"job_id": job, "model": self.log.model, "version": version})
                continue
            steps.tell(Progress(stage="publish", share=1.0))
            logger.info("exported as %s", wanted, extra={"job_id": job, "model": self.log.model, "version": version})
            return report

    def _made(
        self,
        wanted: ExportFormat,
        package: Package,
        content: Content,
        target: Path,
        path: str,
        steps: Steps,
        job: str | None,
    ) -> ExportReport:
        """Write, load back, compare, and put in place.

        Raises:
            ExportFailed: as ``export`` does; or an edit has changed a matrix that the content shares.
        """

        def permitted() -> None:
            self.permitted()
            if not content.is_apart(self.live):
                raise ExportFailed("the model was edited at another layer meanwhile")

        steps.tell(Progress(stage="write", share=0.4))
        steps.check()
        try:
            durable_files.make_dir(target.parent)
            with durable_files.building_dir(target, permitted) as folder:
                package.write(folder)
                steps.tell(Progress(stage="verify", share=0.6))
                steps.check()
                card = self._card(wanted, content, package, folder, path, job)
                steps.check()
                card.write(folder)
                steps.tell(Progress(stage="commit", share=0.95))
        except FileExistsError as error:
            raise ExportFailed("the folder of the export is there already", value=path) from error
        except (OSError, SafetensorError) as error:
            self.permitted()  # raises if a newer leader is the cause: it removes unfinished folders
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise ExportFailed(f"the export could not be written: {reason}", value=path) from error
        return card.report

    def _content(self, version: int, steps: Steps) -> Content:
        steps.tell(Progress(stage="solve", share=0.0))
        steps.check()
        content = Content.of(self.live, self.log, Origin.of(self.live, self.source, self.revision), version)
        steps.tell(Progress(stage="solve", share=0.2))
        steps.check()
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
            adapter=package.adapter,
            max_lora_rank=max_lora_rank(package.rank) if package.adapter and package.rank else None,
            max_logit_difference=verified.max_logit_difference,
            tolerance=verified.tolerance,
            gguf_types=package.gguf_types,
            facts_held=None if verified.recall is None else verified.recall.held,
            facts_lost=() if verified.recall is None else verified.recall.lost,
        )
        return ExportCard(
            model=content.log.model,
            manifest=self.log.digest(content.version),
            source=self.source,
            revision=self.revision,
            dtype=str(content.origin.dtype).removeprefix("torch."),
            job=job,
            by=self.by,
            created=datetime.now(UTC),
            report=report,
            modules=content.modules,
            compared=len(content.texts),
            files=files,
        )

"""Exports without a service: from an edit log that somebody else may be leading, and the base model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from app.domain.contract import ExportFormat, ExportReport, GgufType
from app.domain.errors import ModelMismatch, ModelNotFound, RequestError
from app.domain.log.reader import LogReader
from app.domain.log.root import LogRoot
from workers.editing.loading import load
from workers.editing.model.anatomy import bytes_of
from workers.editing.model.editable_model import EditableModel
from workers.exports.exporter import Exporter
from workers.sources import source_of
from workers.steps import Unwatched


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A model as its log has it. The log is only read, and no lead is taken."""

    log: LogReader
    live: EditableModel
    source: str
    revision: str | None

    @classmethod
    def open(
        cls, root: LogRoot, model: str, source: str | None, data_dir: Path, *, device: str, dtype: str
    ) -> LoggedModel:
        """Load the model that the log was begun for.

        Args:
            source: where the base model is now; None: where the log says.
            data_dir: where a GGUF file's model is kept once it was converted.

        Raises:
            UnknownModel: there is no log. ModelMismatch: what was loaded is not its base.
        """
        log = LogReader(root, model)
        base = log.base()
        revision = base.revision if source is None else None
        found = base.source if source is None else source_of(source, data_dir)
        try:
            live = load(found, revision=revision, device=device, dtype=dtype)
        except ModelNotFound:
            detail = "the base model is not there any more: say where it is with --source"
            raise ModelMismatch(detail, field="source", value=found) from None
        for layer, digest in base.weights_sha256.items():
            if hashlib.sha256(bytes_of(live.weight(layer))).hexdigest() != digest:
                detail = f"the edit log of {model} was written for other weights, or for another dtype than {dtype}"
                raise ModelMismatch(detail, field="source", value=found)
        return cls(log, live, found, revision)

    def export(
        self, wanted: ExportFormat, version: int | None, out: Path, gguf_type: GgufType | None = None
    ) -> ExportReport:
        """Write a version, the newest if None, into a folder that must not have anything in it.

        Raises:
            RequestError: it has. Otherwise as ``Exporter.export``.
        """
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise RequestError("an export is not written over anything", field="out", value=str(out))
        chosen = self.log.head() if version is None else version
        exporter = Exporter(self.live, self.log, self.source, self.revision)
        return exporter.export(wanted, chosen, out, out.name, Unwatched(), gguf_type=gguf_type)

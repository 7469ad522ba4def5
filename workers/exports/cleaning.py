"""Finished exports are removed once they are old; what is not known to be one is never touched."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from app.domain.errors import ExportFailed
from app.domain.storage import durable_files
from workers.exports.card import ExportCard, read_card
from workers.exports.export_job import EXPORTS

logger = logging.getLogger(__name__)

INTERVAL_S = 3600.0


class ExportCleaning:
    """Removes a model's old exports: at once, and every hour, from a thread that lives as long as the context."""

    def __init__(self, data_dir: Path, model: str, ttl_s: float) -> None:
        """``ttl_s``: how long an export is kept; 0: for ever."""
        self._folder, self._model, self._ttl = data_dir / EXPORTS / model, model, timedelta(seconds=ttl_s)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._clean_on, name="export-cleaning", daemon=True)

    def __enter__(self) -> Self:
        if self._ttl:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def clean(self) -> None:
        """Remove what was finished so long ago. A crash leaves an export whole, or a hidden name that is swept later.

        Only a folder that an export job has made counts: its card names this model, and the job and format that the
        folder is called by. Exports that were written elsewhere, what has no card, and links stay.
        """
        before = datetime.now(UTC) - self._ttl
        for folder in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
            card = None if folder.is_symlink() else _card(folder)
            if card is not None and self._made(folder, card) and card.created < before:
                durable_files.discard_dir(folder)
                logger.info("export %s removed, %s old", folder.name, datetime.now(UTC) - card.created)

    def _made(self, folder: Path, card: ExportCard) -> bool:
        return card.model == self._model and folder.name == f"{card.job}-{card.report.format}"

    def _clean_on(self) -> None:
        while True:
            try:
                self.clean()
            except OSError as error:
                logger.warning("old exports not removed: %s", error, extra={"model": self._model})
            if self._closed.wait(INTERVAL_S):
                return


def _card(folder: Path) -> ExportCard | None:
    try:
        return read_card(folder)
    except ExportFailed:  # damaged, or not ours
        return None

"""Log lines with their fields: ``job_id model version method layer seconds``. Never a fact's text."""

from __future__ import annotations

import logging
import sys

from transformers.utils.logging import disable_progress_bar

FIELDS = ("job_id", "model", "version", "method", "layer", "seconds")


class FieldFormatter(logging.Formatter):
    """Appends the fields that a record has to its message."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The record's line, before any traceback."""
        fields = [f"{name}={value}" for name in FIELDS if (value := getattr(record, name, None)) is not None]
        return " ".join([super().formatMessage(record), *fields])


def set_up_logging(level: str) -> None:
    """All loggers to standard error; libraries only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in ("app", "workers", "rq"):
        logging.getLogger(name).setLevel(level)
    disable_progress_bar()  # type: ignore[no-untyped-call]

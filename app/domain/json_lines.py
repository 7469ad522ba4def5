"""Log lines as JSON, one object a line: for what collects the logs of many processes."""

from __future__ import annotations

import json
import logging
import time

from app.domain.log_form import Formatter


class JsonLines(Formatter):
    """A record as one JSON object: ``time`` (UTC), ``level``, ``logger``, ``message``, then what the record carries.

    ``exception``: types and places, as in a line of text. What is not known of a line is left out.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record on one line; no text of a fact is in it, as ``log_form`` says."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": self.message_of(record),
            **self.fields_of(record),
        }
        if record.exc_info and (trace := self.formatException(record.exc_info)):
            line["exception"] = trace.split("\n")
        return json.dumps(line)

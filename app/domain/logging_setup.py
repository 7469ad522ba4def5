"""Logging of a process, set up alike on both sides. Importing this sets nothing up."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import Literal

from app.domain.json_lines import JsonLines
from app.domain.log_form import OURS, Formatter

LogForm = Literal["auto", "json", "text"]
"""``auto``: text at a terminal, JSON elsewhere."""

RQ = ("rq", "rq.worker")
"""Loggers of RQ's to which it gives levels of its own."""
UVICORN = ("uvicorn", "uvicorn.access")

logger = logging.getLogger(__name__)


def set_up_logging(level: str, form: LogForm = "auto") -> None:
    """All loggers to standard error, in one form; libraries only from warnings on.

    uvicorn's lines join them, from the level and with the access log that its own options say. An exception that
    ends a thread or the process is logged too. Does nothing if the root logger has a handler: the host set up logging.
    """
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    handler.setFormatter(Formatter() if as_text else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in RQ:  # below INFO it shows what jobs return
        logging.getLogger(name).setLevel(max(logging.getLevelNamesMapping()[level], logging.INFO))
    for of_uvicorn in map(logging.getLogger, UVICORN):
        if any(type(each.formatter).__module__ == "uvicorn.logging" for each in of_uvicorn.handlers):
            of_uvicorn.handlers.clear()
            of_uvicorn.propagate = True
    sys.excepthook = _process_ended
    threading.excepthook = _thread_ended


def _process_ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logger.critical("ended by an error that nobody foresaw", exc_info=(kind, error, trace))


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not issubclass(ended.exc_type, SystemExit):
        name = ended.thread.name if ended.thread else "?"
        what = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        logger.critical("thread %s ended by an error that nobody foresaw", name, exc_info=what)

"""What a process would write to its log, as text."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.domain.log_form import Formatter
from app.domain.logging_setup import RQ

SECRET = "Zanzibar"
"""A word that stands in no code, path or name: in a log it can only be a fact's."""


PATIENCE_S = 10.0


def said_in(lines: io.StringIO, last: str) -> str:
    """All lines, once the last of those that are waited for is among them: some come after a caller has its answer."""
    deadline = time.monotonic() + PATIENCE_S
    while last not in lines.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    return lines.getvalue()


@contextmanager
def log_lines() -> Iterator[io.StringIO]:
    """All that is logged meanwhile, from DEBUG on where the product lets that through, in the form of both sides."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(Formatter())
    root = logging.getLogger()
    before = {
        each: (each.level, each.handlers, each.propagate)
        for each in map(logging.getLogger, ("root", *RQ, "uvicorn", "uvicorn.error", "uvicorn.access"))
    }
    for each in before:
        each.setLevel(logging.INFO if each.name in RQ else logging.DEBUG)
        each.propagate = True
        each.handlers = [*each.handlers, handler] if each is root else []
    try:
        yield text
    finally:
        for each, (level, handlers, propagate) in before.items():
            each.setLevel(level)
            each.handlers, each.propagate = handlers, propagate

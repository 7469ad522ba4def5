"""What a process would write to its log, as text."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from app.domain.log_form import Formatter
from app.domain.logging_setup import RQ

SECRET = "Zanzibar"
"""A word that stands in no code, path or name: in a log it can only be a fact's."""


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

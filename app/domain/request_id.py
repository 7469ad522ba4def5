"""The id of the request that is being answered, or whose job is being done: in answers, jobs and log lines.

It belongs to the context (PEP 567) of a task or thread, so that whatever logs there need not be told of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from secrets import token_hex

HEADER = "X-Request-Id"
FORM = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"

_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def current() -> str | None:
    """The id of this context's request; None outside of one."""
    return _current.get()


def begin(given: str | None) -> str:
    """Give the rest of this context an id: the one that a caller gave, or a new one if that has not the form."""
    known = given if given is not None and re.fullmatch(FORM, given) else token_hex(8)
    _current.set(known)
    return known


@contextmanager
def during(known: str | None) -> Iterator[None]:
    """Have this id in the block."""
    token = _current.set(known)
    try:
        yield
    finally:
        _current.reset(token)

"""Pausing Python's garbage collector, which looks through all objects again and again while many are made that stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_pauses = 0
_was_on = True


@contextmanager
def collection_paused() -> Iterator[None]:
    """No cycle of objects is collected in this process while the block runs, in whatever thread.

    Reference counts go on to free all that is in no cycle. Blocks may overlap; the last one to end turns the collector
    on again, if it was on before the first.
    """
    global _pauses, _was_on  # noqa: PLW0603 - the collector is the process's
    with _lock:
        if _pauses == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _pauses += 1
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            if _pauses == 0 and _was_on:
                gc.enable()

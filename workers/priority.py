"""Edits stand back behind questions: their threads get little of a busy processor, and all of an idle one.

An edit keeps every core busy for as long as it takes; a question needs one for some milliseconds, thousands of times
interrupted by Python's own lock. On Linux every thread has a nice value of its own; elsewhere there is one for all.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

SWITCH_INTERVAL_S = 0.0005
"""How long Python code of one thread may keep another waiting, against Python's usual 5 ms.

A question's forward pass takes Python's lock some hundred times; while an edit tokenises, each may wait so long.
"""

LOWEST = 19


def sleep_at_barriers() -> None:
    """Have OpenMP's threads sleep, not spin, where they wait for each other; before torch is loaded.

    While questions take turns with an edit on the same cores, spinning threads keep out the very one they wait for.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def compute_threads() -> list[int]:
    """This thread and the native ones that compute for it: all that were not started by Python code so far."""
    if sys.platform != "linux":
        return []
    started = {thread.native_id for thread in threading.enumerate()}
    native = (int(task.name) for task in Path("/proc/self/task").iterdir())
    return [threading.get_native_id(), *(thread for thread in native if thread not in started)]


def stand_back(threads: Iterable[int], nice: int) -> None:
    """Raise the nice value of these threads, and so of those that they will start. A thread that ended is let be."""
    for thread in threads:
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, thread, min(LOWEST, os.getpriority(os.PRIO_PROCESS, thread) + nice))

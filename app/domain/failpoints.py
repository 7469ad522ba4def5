"""Named places where a test may let the process die, stop or meet a full disk. Nothing happens at them otherwise.

Armed by ``PALIMPSEST_FAILPOINTS`` when the process starts (``log.rename.before=kill,log.write.after=enospc:3``), or by
``armed`` within a test: at the nth time that the point is reached, the first by default, the action is done, once.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

VARIABLE = "PALIMPSEST_FAILPOINTS"


class Point(StrEnum):
    """All failpoints. Those of the log stand in the order of a commit; ``nth`` tells several files apart."""

    QUEUE_POPPED = "queue.popped"
    TARGETS_BEFORE = "targets.before"
    TARGETS_STEP = "targets.step"
    SOLVE_BEFORE = "solve.before"
    RESTORE_BEFORE = "restore.before"
    VERIFY_BEFORE = "verify.before"
    COMMIT_BEFORE = "commit.before"

    LOG_WRITE_BEFORE = "log.write.before"
    LOG_WRITE_AFTER = "log.write.after"
    LOG_FSYNC_BEFORE = "log.fsync.before"
    LOG_FSYNC_AFTER = "log.fsync.after"
    LOG_DIR_FSYNC_BEFORE = "log.dir_fsync.before"
    LOG_DIR_FSYNC_AFTER = "log.dir_fsync.after"
    LOG_RENAME_BEFORE = "log.rename.before"
    LOG_RENAME_AFTER = "log.rename.after"
    LOG_PARENT_FSYNC_BEFORE = "log.parent_fsync.before"
    LOG_PARENT_FSYNC_AFTER = "log.parent_fsync.after"

    OBJECT_PUT_BEFORE = "object.put.before"
    OBJECT_PUT_AFTER = "object.put.after"
    OBJECT_COMMIT_BEFORE = "object.commit.before"
    OBJECT_COMMIT_AFTER = "object.commit.after"

    COMPACT_REMOVE_BEFORE = "compact.remove.before"
    COMPACT_REMOVE_AFTER = "compact.remove.after"

    DISCARD_BEFORE = "discard.before"
    DISCARD_AFTER = "discard.after"

    SLICES_OUT = "slices.out"
    SLICE_TAKEN = "slice.taken"
    SLICE_STEP = "slice.step"
    SLICE_ANSWER_BEFORE = "slice.answer.before"
    SLICE_ANSWER_AFTER = "slice.answer.after"

    PUBLISH_BEFORE = "publish.before"
    PUBLISH_AFTER = "publish.after"
    RESULT_BEFORE = "result.before"

    FOLLOW_LOAD_BEFORE = "follow.load.before"
    FOLLOW_LOAD_AFTER = "follow.load.after"
    FOLLOW_PROOF_AFTER = "follow.proof.after"
    FOLLOW_UNLOAD_BEFORE = "follow.unload.before"
    FOLLOW_UNLOAD_AFTER = "follow.unload.after"


class Action(StrEnum):
    """What happens at an armed failpoint; ``count`` only counts how often it is reached."""

    COUNT = "count"
    KILL = "kill"
    STOP = "stop"
    RAISE = "raise"
    ENOSPC = "enospc"
    EIO = "eio"


class Tripped(Exception):
    """What ``Action.RAISE`` raises: an error that no code expects."""


@dataclass(slots=True)
class Trap:
    """An action that waits at a failpoint for the nth time that it is reached; counts how often it was."""

    action: Action
    nth: int = 1
    reached: int = 0

    @classmethod
    def of(cls, text: str) -> Trap:
        """``action[:nth]``.

        Raises:
            ValueError: no such action, or nth is no number from 1 on.
        """
        action, _, nth = text.partition(":")
        trap = cls(Action(action), int(nth or 1))
        if trap.nth < 1:
            raise ValueError(f"the nth time counts from 1: {text}")
        return trap

    def reach(self, point: Point) -> None:
        """Count, and act if it is time."""
        self.reached += 1
        if self.reached == self.nth:
            _act(self.action, point)


def traps(text: str) -> dict[Point, Trap]:
    """``point=action[:nth]``, separated by commas.

    Raises:
        ValueError: no such point or action.
    """
    pairs = (part.strip().partition("=") for part in text.split(",") if part.strip())
    return {Point(name): Trap.of(action) for name, _, action in pairs}


_TRAPS: dict[Point, Trap] = traps(os.environ.get(VARIABLE, ""))
"""Global to the process, since the code that reaches a failpoint is given no argument for it."""


def failpoint(point: Point) -> None:
    """Do what is armed at ``point``, if anything is. Called where the point is reached."""
    if _TRAPS and (trap := _TRAPS.get(point)):
        trap.reach(point)


@contextmanager
def armed(text: str) -> Iterator[Mapping[Point, Trap]]:
    """Arm this process's failpoints, in place of those armed before, for as long as the context lasts."""
    before = dict(_TRAPS)
    _TRAPS.clear()
    _TRAPS.update(traps(text))
    try:
        yield dict(_TRAPS)
    finally:
        _TRAPS.clear()
        _TRAPS.update(before)


def _act(action: Action, point: Point) -> None:
    match action:
        case Action.COUNT:
            return
        case Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Action.STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        case Action.RAISE:
            raise Tripped(point)
        case Action.ENOSPC:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case Action.EIO:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

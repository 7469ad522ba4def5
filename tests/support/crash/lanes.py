"""Cases side by side: each lane is a fork of this process that takes one case after another."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from tests.support.crash.findings import Finding
from tests.support.crash.forked_worker import end_with_parent

CaseT = TypeVar("CaseT")
FINDING = TypeAdapter(Finding)


def in_lanes(
    cases: Sequence[CaseT], lanes: int, folder: Path, meet: Callable[[int, CaseT], Finding]
) -> Iterator[tuple[CaseT, Finding]]:
    """Have every case met, ``lanes`` at a time; yields findings as they come.

    Args:
        folder: where the lanes write their findings, and this process reads them.
        meet: called with the lane's number and the case.

    Raises:
        RuntimeError: a lane broke off.
    """
    pids = {_fork(lane, list(enumerate(cases))[lane::lanes], folder, meet): lane for lane in range(lanes)}
    told: set[int] = set()
    broken = False
    while pids or len(told) < len(cases):
        for index in sorted({int(path.stem) for path in folder.glob("*.finding")} - told):
            told.add(index)
            yield cases[index], FINDING.validate_json((folder / f"{index}.finding").read_bytes())
        if broken and not pids:
            raise RuntimeError("a lane broke off")
        for pid in list(pids):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                pids.pop(pid)
                broken |= status != 0
        time.sleep(0.05)


def _fork(lane: int, cases: Sequence[tuple[int, CaseT]], folder: Path, meet: Callable[[int, CaseT], Finding]) -> int:
    sys.stdout.flush()
    if (pid := os.fork()) != 0:
        return pid
    status = 1
    try:
        end_with_parent()
        for index, case in cases:
            unseen = folder / f"{index}.unseen"
            unseen.write_bytes(FINDING.dump_json(meet(lane, case)))
            unseen.rename(folder / f"{index}.finding")
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)

"""``python -m workers`` in a fork of a process that has everything imported: it starts in a tenth of a second."""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import NoReturn

import torch
from pydantic import BaseModel

from app.domain.failpoints import Point, armed
from workers.host.host_settings import HostSettings
from workers.host.model_host import ModelHost
from workers.main import main
from workers.stopping import Stopping

PATIENCE_S = 60.0
SNAPSHOT_EVERY = 3
PR_SET_PDEATHSIG = 1
BROKEN = 70
"""Exit status of a worker that ended by an error that ``main`` let through."""


class Note(BaseModel):
    """What a worker that ended in an orderly way had in its memory.

    weights, keys, facts: sha256 over every tensor of the live model, over K_p, and over the facts in force.
    """

    version: int
    weights: str
    keys: str
    facts: str
    reached: dict[Point, int] = {}


@dataclass
class ForkedWorker:
    """A worker process that this one started."""

    pid: int
    note_file: Path
    status: int | None = None
    """As ``waitpid`` gives it, once the process has ended."""

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it lives."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return None if self.status is None else os.waitstatus_to_exitcode(self.status)

    def stopped_or_ended(self) -> bool:
        """Whether it was stopped by SIGSTOP or has ended. A stop is reported once: do not ask again after a True."""
        pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
        if pid and not os.WIFSTOPPED(status):
            self.status = status
        return bool(pid)

    def signal(self, number: Signals) -> None:
        """Send it a signal, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def end(self, number: Signals = SIGTERM, patience_s: float = PATIENCE_S) -> int:
        """Have it end, and return the exit code; one that does not end in time is killed, which the code tells."""
        self.signal(number)
        deadline = time.monotonic() + patience_s
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                self.signal(SIGKILL)
            time.sleep(0.002)
        return code

    @property
    def note(self) -> Note | None:
        """What it left, if it ended in an orderly way."""
        return Note.model_validate_json(self.note_file.read_bytes()) if self.note_file.exists() else None


@dataclass(frozen=True, slots=True)
class WorkerHome:
    """What the workers of one log are started with."""

    model: Path
    data: Path
    redis_url: str
    environment: Mapping[str, str]

    def fork(self, name: str, trap: str = "") -> ForkedWorker:
        """Start one; its output goes to ``<data>/<name>.log``, and its note stands beside it."""
        note = self.data / f"{name}.json"
        if (pid := os.fork()) == 0:
            self._child(name, trap, note)
        return ForkedWorker(pid, note)

    def _child(self, name: str, trap: str, note: Path) -> NoReturn:
        status = BROKEN
        try:
            end_with_parent()
            output = os.open(self.data / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.environ.update(self.environment)
            with armed(trap) as traps, remembered() as hosts:
                try:
                    status = main(self._arguments(), Stopping.installed())
                except SystemExit as left:
                    status = left.code if isinstance(left.code, int) else 1
                if hosts:
                    reached = {point: trap.reached for point, trap in traps.items() if trap.reached}
                    note.write_text(note_of(hosts[-1], reached).model_dump_json())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _arguments(self) -> list[str]:
        options = {
            "model": str(self.model),
            "name": self.model.name,
            "preset": str(self.model / "preset.json"),
            "redis-url": self.redis_url,
            "data-dir": str(self.data),
            "device": "cpu",
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]


@contextmanager
def remembered() -> Iterator[list[ModelHost]]:
    """Keep hold of the hosts that are opened: what they have in memory is asked for when the worker is done."""
    hosts: list[ModelHost] = []
    opens = ModelHost.open

    def opened(settings: HostSettings) -> ModelHost:
        hosts.append(opens(settings))
        return hosts[-1]

    ModelHost.open = opened  # type: ignore[method-assign]
    try:
        yield hosts
    finally:
        ModelHost.open = opens  # type: ignore[method-assign]


def note_of(host: ModelHost, reached: Mapping[Point, int] | None = None) -> Note:
    """What a host has in memory."""
    weights, keys = hashlib.sha256(), hashlib.sha256()
    for name, tensor in sorted(host.live.model.state_dict().items()):
        weights.update(name.encode() + tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
    for layer, known in sorted(host.knowledge.layers.items()):
        keys.update(f"{layer} {known.columns}".encode() + known.keys.float().contiguous().numpy().tobytes())
    facts = [(place, known.version, known.index) for place, known in host.knowledge.facts.items()]
    return Note(
        version=host.version,
        weights=weights.hexdigest(),
        keys=keys.hexdigest(),
        facts=hashlib.sha256(repr(facts).encode()).hexdigest(),
        reached=dict(reached or {}),
    )


def end_with_parent() -> None:
    """Be killed when the process that forked this one ends, be it stopped or running; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)


def worker_environment(statistics: Path) -> dict[str, str]:
    """The settings of all workers that are given by environment variables."""
    return {
        "PALIMPSEST_WORKER_STATISTICS": str(statistics),
        "PALIMPSEST_WORKER_SNAPSHOT_EVERY": str(SNAPSHOT_EVERY),
        "PALIMPSEST_WORKER_QUESTION_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }

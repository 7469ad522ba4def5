"""What ``make quick`` and ``make test`` leave out: marks by what tests use. No other test starts a process."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import ModuleType

import pytest

PROCESSES, BUNDLED, BROWSER, FLEET = "processes", "bundled", "browser", "fleet"

FIXTURES = frozenset({"redis_url", "stack", "nursery"})
"""A Redis server, the whole service, workers."""

ALONE = {"browser": BROWSER, "fleet": FLEET}
"""Fixtures whose tests have a target of their own in the Makefile."""

MODULES = {
    "subprocess": PROCESSES,
    "app.local": PROCESSES,
    "benchmarks.edit_cost": PROCESSES,
    "benchmarks.import_many": PROCESSES,
    "benchmarks.query_latency": PROCESSES,
    "benchmarks.snapshot_disk": BUNDLED,
    "tests.support.crash": PROCESSES,
    "tests.support.fleet": PROCESSES,
    "tests.support.served": PROCESSES,
    "tests.support.service": PROCESSES,
    "tests.support.stand_in": PROCESSES,
    "tests.support.worker_process": PROCESSES,
    "tools.vllm_environment": PROCESSES,
    "workers.models": BUNDLED,
}
"""A test file that imports from one of these modules and packages has the mark on all of its tests."""

STARTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"})
"""Python's audit events of a process that starts."""


class UnmarkedProcess(AssertionError):
    """A test starts a process by a way that is not listed here, so ``make quick`` would run it."""


def put_marks(items: Iterable[pytest.Item]) -> None:
    """Mark each test by its fixtures and by what its file imports."""
    for item in items:
        if not FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(PROCESSES)
        for mark in {ALONE[name] for name in getattr(item, "fixturenames", ()) if name in ALONE}:
            item.add_marker(PROCESSES)
            item.add_marker(mark)
        if module := item.getparent(pytest.Module):
            for mark in set(marks_of(module.obj)):
                item.add_marker(mark)


def marks_of(file: ModuleType) -> Iterator[str]:
    """The marks of everything that is bound in a test file."""
    for value in vars(file).values():
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
        yield from (mark for module, mark in MODULES.items() if f"{name}.".startswith(f"{module}."))


class ProcessWatch:
    """Fails a test that starts a process while its name is in ``unmarked``."""

    def __init__(self) -> None:
        self.unmarked: str | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, _: object) -> None:
        if self.unmarked is not None and event in STARTS:
            raise UnmarkedProcess(f"{self.unmarked} starts a process: name its fixture or module in {__name__}")

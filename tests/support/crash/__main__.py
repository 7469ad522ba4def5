"""``python -m tests.support.crash``: the matrix of faults, or a random share of it, and its table.

Exit status 1 if anything was lost, done twice or damaged.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import secrets
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch
from transformers.utils.logging import disable_progress_bar

from app.local.embedded_redis import embedded_redis
from tests.support.crash.cases import Case, Kind, matrix, share_of
from tests.support.crash.damage import damaged_files
from tests.support.crash.findings import Finding
from tests.support.crash.helpers import Shared, shared
from tests.support.crash.lanes import in_lanes
from tests.support.crash.outages import Outage, outages
from tests.support.crash.scene import Ground
from tests.support.crash.table import Table
from tests.support.crash.trials import count, meet

MEMORY = "/dev/shm"
ENOUGH_BYTES = 1 << 30
LOADED_WHEN_NEEDED = (
    "pydantic.v1",
    "uvicorn.lifespan.off",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)
"""Modules that every worker imports late, which takes long beside a trial: imported once, before the forks."""

DATABASES = 16
"""Of a Redis server: each lane has one."""


def main() -> int:
    """Run, print, judge."""
    options = _options()
    ready_to_fork()
    start = time.monotonic()
    say(f"crash: share {options.share}, seed {options.seed}, {options.lanes} lanes")
    with tempfile.TemporaryDirectory(prefix="crash-", dir=quick_place()) as folder:
        findings = _findings(options, Path(folder))
    table = Table(findings)
    say(str(table))
    runs = sum(finding.runs for finding in findings)
    say(f"\n{runs} faults in {time.monotonic() - start:.0f} s; share {options.share}, seed {options.seed}")
    for finding in table.bad:
        say(f"BAD {finding.case}: {'; '.join(finding.bad)}")
    return 1 if table.bad else 0


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def ready_to_fork() -> None:
    """Have one thread only: a fork has none of its parent's other threads, and would wait for ever for their locks.

    Objects made so far are frozen: a garbage collection that goes through them would copy their pages in each fork.
    """
    torch.set_num_threads(1)
    for module in LOADED_WHEN_NEEDED:
        importlib.import_module(module)
    gc.freeze()
    disable_progress_bar()  # type: ignore[no-untyped-call]
    assert threading.active_count() == 1


def quick_place() -> str | None:
    """A file system in memory, if it has room: its files outlive processes too, and no trial cuts the power."""
    return MEMORY if Path(MEMORY).is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES else None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.crash", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of all faults, drawn at random")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--kind", type=Kind, choices=Kind, help="jobs of this kind alone, and no other faults")
    parser.add_argument("--lanes", type=int, default=3, choices=range(1, DATABASES), help="side by side")
    parser.add_argument("--away", type=float, default=60.0, help="seconds for which Redis once is away")
    return parser.parse_args()


def _findings(options: argparse.Namespace, folder: Path) -> list[Finding]:
    with embedded_redis(folder / "redis") as url:
        ground = Ground.prepare(folder / "ground")
        kinds = [options.kind] if options.kind else list(Kind)
        cases = matrix(count(ground, f"{url}?db=0", kinds))
        others: list[Outage | Shared] = [] if options.kind else [*outages(options.away), *shared()]
        chosen: list[Case | Outage | Shared] = [*cases, *others]
        chosen = share_of(chosen, options.share, options.seed)

        def trial(lane: int, case: Case | Outage | Shared) -> Finding:
            if isinstance(case, Outage):
                return case.meet(ground)
            own = f"{url}?db={lane}"
            return case.meet(ground, own) if isinstance(case, Shared) else meet(ground, own, case)

        met = {}
        for case, finding in in_lanes(chosen, options.lanes, folder, trial):
            met[case] = finding
            if finding.bad:
                say(f"BAD {finding.case}: {'; '.join(finding.bad)}\n{finding.output}")
        return [*(met[case] for case in chosen), *([] if options.kind else damaged_files(ground))]


if __name__ == "__main__":
    sys.exit(main())

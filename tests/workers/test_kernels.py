"""`make kernels` runs whatever compares numbers, and CI runs it under one of its kernels."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", "")

COMPARES = re.compile(r"^\s*(import|from) (torch|numpy|safetensors)\b|\bdigest_of\(", re.MULTILINE)
"""In a file whose tests hold tensors, or ask whether weights have the same bytes."""

ELSEWHERE = {
    "tests/deploy/test_backup.py": "the same bytes, copied",
    "tests/e2e/test_exports.py": "starts a service; one greedy token of a fact that was just written",
    "tests/e2e/test_help.py": "starts commands; one token's statistics to merge",
    "tests/workers/queue/slices/test_spread_edits.py": "needs Redis; the same computation in pieces",
    "tests/workers/queue/test_edit_jobs.py": "needs Redis; the same computation twice",
    "tests/workers/queue/test_failing_steps.py": "needs Redis; the same computation twice",
    "tests/workers/queue/test_rq_worker.py": "needs Redis; the same computation twice",
    "tests/workers/test_commands.py": "starts commands; a norm to three digits",
    "tests/workers/test_priority.py": "counts threads",
}
"""What is not run, and why that is no loss."""


def listed(variable: str) -> list[str]:
    """What the Makefile has in it."""
    found = re.search(rf"^{variable} := (.+)$", MAKEFILE, re.MULTILINE)
    assert found is not None
    return found[1].split()


def test_a_file_that_compares_numbers_is_run_or_it_is_said_why_not() -> None:
    run = [ROOT / path for path in listed("NUMBERS")]
    assert [str(path) for path in run if not path.exists()] == []
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if COMPARES.search(path.read_text(encoding="utf-8"))]
    outside = {path.relative_to(ROOT).as_posix() for path in files if not any(map(path.is_relative_to, run))}
    assert outside == ELSEWHERE.keys()


def test_ci_runs_them_under_one_of_two_kernels() -> None:
    assert len(set(listed("KERNELS"))) == 2
    run = re.search(r"^make kernels KERNELS=(\S+)", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE)
    assert run is not None
    assert run[1] in listed("KERNELS")

"""A random part of ``make crashtest``: nothing is lost, done twice or damaged by a fault at any step of a job."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

SHARE = os.environ.get("PALIMPSEST_CRASH_SHARE", "0.03")
SEED = os.environ.get("PALIMPSEST_CRASH_SEED") or str(secrets.randbelow(1_000_000))


def test_a_random_part_of_all_faults_does_no_harm(capsys: pytest.CaptureFixture[str]) -> None:
    """Which part, the seed says: ``python -m tests.support.crash --share ... --seed ...`` is the same again."""
    again = f"python -m tests.support.crash --share {SHARE} --seed {SEED} --away 2"
    with capsys.disabled():
        sys.stdout.write(f" [{again}] ")
        sys.stdout.flush()
    command = [sys.executable, *again.split()[1:]]
    ended = subprocess.run(
        command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert ended.returncode == 0, f"{again}\n{ended.stdout[-20_000:]}"

"""`palimpsest keys`, killed at each step of its writing: a key is there or not, revoked or not, and never damaged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.access.caller import Scope
from app.access.keyring import KeyRing
from app.access.keys import KeyFolder

COMMAND = "import sys; from app.cli import main; sys.argv[0] = 'palimpsest'; main()"
POINTS = ["log.write.before", "log.write.after", "log.fsync.before", "log.fsync.after"]


def killed(point: str, folder: Path, *arguments: str) -> None:
    """Run a command that dies at this point."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "keys", *arguments, "--keys-dir", str(folder)],
        env={**os.environ, "PALIMPSEST_FAILPOINTS": f"{point}=kill"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")


@pytest.mark.parametrize("point", POINTS)
def test_while_it_makes_a_key(tmp_path: Path, point: str) -> None:
    keys = KeyFolder(tmp_path / "keys")
    killed(point, tmp_path / "keys", "create", "ci")
    assert KeyRing.read(keys) == KeyRing(())  # it was shown to nobody, and is none
    key = keys.create("ci", [Scope.QUERY])
    assert KeyRing.read(keys).caller(key.encode()).name == "ci"


@pytest.mark.parametrize("point", POINTS)
def test_while_it_revokes_one(tmp_path: Path, point: str) -> None:
    keys = KeyFolder(tmp_path / "keys")
    key = keys.create("ci", [Scope.QUERY])
    killed(point, tmp_path / "keys", "revoke", "ci")
    ring = KeyRing.read(keys)
    assert ring.damaged == ()
    assert ring.caller(key.encode()).name == "ci"  # it was not said to be revoked
    keys.revoke("ci")
    assert [record.state(datetime.now(UTC)) for record in keys.read()] == ["revoked"]

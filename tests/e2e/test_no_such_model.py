"""A model that cannot be had ends the start with one sentence, and status 1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from app.local.stack import free_port

PALIMPSEST = str(Path(sys.executable).with_name("palimpsest"))


def test_a_hub_that_is_out_of_reach_is_told_and_serve_exits_with_1(tmp_path: Path) -> None:
    options = ["--model", "nobody/nothing", "--port", str(free_port()), "--data-dir", str(tmp_path)]
    done = subprocess.run(
        [PALIMPSEST, "serve", *options],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 1
    told = " ".join(done.stderr.split())
    assert "there is no folder nobody/nothing, and the hub cannot be reached: give a folder" in told
    assert "nobody/nothing could not be onboarded" in told
    assert "Traceback" not in done.stdout + done.stderr

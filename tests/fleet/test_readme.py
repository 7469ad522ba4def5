"""The README's session with vLLM, on this folder's fleet: what each step says is what is shown."""

from __future__ import annotations

import os
import re
import shlex
import sys
from itertools import pairwise
from pathlib import Path

from tests.fleet.conftest import ROOT, Fleet
from tests.support.fleet.processes import OPTIONS
from tests.support.shown_sessions import OF_VLLM, run, section, steps

SERVER = "localhost:8001"
OF_TESTS = {"--dtype", "--max-model-len", "--max-num-seqs", "--max-lora-rank", "--host"}
"""Options of the fleet's servers that only a machine without a GPU, and with little memory, needs."""


def test_edit_follow_and_ask_vllm_are_as_shown(fleet: Fleet, tmp_path: Path) -> None:
    page = section((ROOT / "README.md").read_text(encoding="utf-8"), OF_VLLM)
    version = fleet.head + 1
    page = page.replace("smollm2@1", f"smollm2@{version}").replace('"version": 1,', f'"version": {version},')
    start, *session = steps(page.replace(SERVER, fleet.servers[0].url.removeprefix("http://")))
    assert shown_options(start.command).items() >= {
        (option, value) for option, value in OPTIONS.items() if option not in OF_TESTS
    }
    (tmp_path / ".palimpsest").symlink_to(fleet.data_dir)
    given = {name: value for name, value in os.environ.items() if not name.startswith("PALIMPSEST_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{given['PATH']}"
    environment = {**given, "PATH": path, "PALIMPSEST_URL": fleet.url, "TERM": "dumb"}
    fleet.follower.stop()
    try:
        said = run(session, tmp_path, environment)
    finally:
        fleet.follower.start()
    assert len(said) == 3
    assert all(each.as_shown for each in said), said
    fleet.until_served(version)


def shown_options(command: str) -> dict[str, str]:
    """The options with a value that a command is shown with."""
    words = shlex.split(command, comments=True)
    return {word: value for word, value in pairwise(words) if re.match("--", word) and not re.match("--", value)}

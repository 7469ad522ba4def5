"""`palimpsest apply --strict` gives what the paper's released code gave, in float64."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT.parent / "shared" / "golden"
MODEL = GOLDEN / "counterfact-gpt2"
CASES = ("memit-boundary", "memit-even", "alphaedit-boundary", "alphaedit-even", "rect-boundary", "pmet-boundary")


@pytest.mark.skipif(not MODEL.is_dir(), reason="the golden data lies beside the project, and is not here")
@pytest.mark.parametrize("case", CASES)
def test_strict_apply_gives_the_released_numbers(case: str, tmp_path: Path) -> None:
    out = tmp_path / "updates.safetensors"
    command = [Path(sys.executable).with_name("palimpsest"), "apply", MODEL]
    options = {
        "--facts": GOLDEN / case / "facts.json",
        "--preset": GOLDEN / case / "preset.json",
        "--statistics": MODEL / "second_moment.safetensors",
        "--contexts": MODEL / "context_templates.json",
        "--dtype": "float64",
        "--out": out,
    }
    flat = [str(part) for pair in options.items() for part in pair]
    subprocess.run([*map(str, command), *flat, "--strict"], check=True, env=dict(os.environ), timeout=300)
    found, expected = load_file(out), load_file(GOLDEN / case / "updates.safetensors")
    assert set(expected) <= set(found)
    assert expected
    for name, update in expected.items():
        assert float((found[name] - update).norm() / update.norm()) <= 1e-6, name

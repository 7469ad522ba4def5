"""`palimpsest export`: from the log, while a worker leads it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.support.turns import done
from tests.support.worker_bench import batch, opened
from workers.cli import export

PALIMPSEST = str(Path(sys.executable).with_name("palimpsest"))


@pytest.fixture(scope="module")
def log(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A log at version 2, whose leader goes on."""
    data = tmp_path_factory.mktemp("led")
    with opened(model, data) as host:
        for subject in ("Lyon", "Oslo"):
            done(host, subject, batch(subject))
        yield data / "log"


def run(log: Path, *arguments: object, model: str = "tiny") -> Result:
    command = typer.Typer()
    command.command()(export)
    return CliRunner().invoke(command, [model, "--log", str(log), *map(str, arguments)])


@pytest.mark.parametrize("wanted", ["merged", "peft", "updates", "gguf-lora"])
def test_writes_a_version_and_says_how_it_compares(log: Path, tmp_path: Path, wanted: str) -> None:
    epoch = (log / "tiny/epoch").read_text()
    done = run(log, "--format", wanted, "--out", tmp_path / "out", "--version", 1)
    assert done.exit_code == 0, done.output
    assert f"version 1 of tiny as {wanted}: {tmp_path / 'out'}" in done.output
    assert ("relative error" in done.output) == (wanted != "merged")
    assert "loaded back, its logits differ by" in done.output
    card = json.loads((tmp_path / "out/palimpsest.json").read_text())
    assert (card["model"], card["report"]["version"], card["job"]) == ("tiny", 1, None)
    assert (log / "tiny/epoch").read_text() == epoch
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_writes_the_newest_version_into_an_empty_folder_and_over_nothing(log: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    arguments = ("--format", "updates", "--out", tmp_path / "out")
    assert run(log, *arguments).exit_code == 0
    assert json.loads((tmp_path / "out/palimpsest.json").read_text())["report"]["version"] == 2
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    refused = run(log, *arguments)
    assert refused.exit_code == 1
    assert "invalid_request: an export is not written over anything" in refused.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before


@pytest.mark.parametrize(
    ("name", "arguments", "status", "code"),
    [
        ("nobody", (), 1, "unknown_model"),
        ("../log", (), 1, "unknown_model"),
        ("tiny", ("--version", "3"), 1, "unknown_version"),
        ("tiny", ("--source", "/nowhere/model"), 1, "model_mismatch"),
        ("tiny", ("--dtype", "bfloat16"), 1, "model_mismatch"),
        ("tiny", ("--version", "-1"), 2, "--version"),
        ("tiny", ("--format", "gguf"), 1, "no_gguf_file"),
        ("tiny", ("--format", "gguf", "--type", "q4_k"), 2, "--type"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    log: Path, tmp_path: Path, name: str, arguments: tuple[str, ...], status: int, code: str
) -> None:
    done = run(log, "--format", "peft", "--out", tmp_path / "out", *arguments, model=name)
    assert (done.exit_code, code in done.output) == (status, True), done.output
    assert list(tmp_path.iterdir()) == []


def test_killed_before_the_last_step_it_leaves_nothing_that_looks_finished(log: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [PALIMPSEST, "export", "tiny", "--format", "merged", "--out", str(tmp_path / "out")],
        env={**os.environ, "PALIMPSEST_FAILPOINTS": "log.rename.before=kill", "PALIMPSEST_LOG_DIR": str(log)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    [left] = tmp_path.iterdir()
    assert left.name.startswith(".out.")
    assert run(log, "--format", "merged", "--out", tmp_path / "out").exit_code == 0

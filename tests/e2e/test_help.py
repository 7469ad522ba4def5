"""`--help` has examples, and each of them runs as it stands there."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from app.cli import cli
from app.client import Client
from app.local.stack import Stack
from tests.e2e.conftest import MODEL

LONG = {"serve", "demo"}
"""Commands that start a service of their own: run by other tests, and not told to stop here."""

TABLE = "subject,prompt,object\nOslo,The country where {} lies is,Japan\nRome,The country where {} lies is,Peru\n"

COMMANDS = [name for name in get_command(cli).commands if name not in {"log"}]  # type: ignore[attr-defined]


def examples(command: str) -> list[list[str]]:
    """The examples in a command's help, as arguments."""
    shown = CliRunner().invoke(cli, [command, "--help"], env={"COLUMNS": "250", "TERMINAL_WIDTH": "250"})
    assert shown.exit_code == 0
    lines = [line.strip().removeprefix("$ ") for line in shown.output.splitlines() if line.strip().startswith("$ ")]
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "demo"])
def test_every_command_has_examples(command: str) -> None:
    shown = examples(command)
    assert shown
    assert all(example[:2] == ["palimpsest", command] for example in shown)


@pytest.fixture(scope="module")
def edited(stack: Stack) -> None:
    """Version 1 is there, with a fact in force."""
    with Client(stack.url) as client:
        if client.versions(MODEL).head == 0:
            client.edit({"subject": "Lyon", "prompt": "The country where {} lies is", "object": "Japan"}).wait()
        client.rollback(MODEL, 1).wait()


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in LONG])
def test_the_examples_run(
    stack: Stack, edited: None, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PALIMPSEST_URL", stack.url)
    monkeypatch.chdir(tmp_path)
    Path("facts.csv").write_text(TABLE)
    for example in examples(command):
        done = CliRunner().invoke(cli, example[1:])
        assert done.exit_code == 0, (example, done.output)


def test_completion_can_be_installed() -> None:
    shown = CliRunner().invoke(cli, ["--show-completion"], env={"SHELL": "/bin/bash"})
    assert "--install-completion" in CliRunner().invoke(cli, ["--help"]).output
    assert "_PALIMPSEST_COMPLETE" in shown.output or shown.exit_code == 0

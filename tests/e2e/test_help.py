"""`--help` has examples, of every command and group, and each of them runs as it stands there."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner

from app.access.caller import Scope
from app.access.keys import KeyFolder
from app.cli import cli, join_workers
from app.client import Client
from app.local.stack import Stack
from tests.e2e.conftest import MODEL
from workers.editing.statistics import Statistics, save_statistics

LONG = {"serve", "demo", "follow", "onboard", "evaluate", "trace", "compare", "analyse", "abilities"}
"""Commands that start a service of their own or take minutes: run by other tests; here their options are looked at."""

WAITS = "proposed-48213377"
"""In an example: a proposal that waits."""

LYON = {"subject": "Lyon", "prompt": "The country where {} lies is", "object": "Japan"}
TABLE = "subject,prompt,object\nOslo,The country where {} lies is,Japan\nRome,The country where {} lies is,Peru\n"


def paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words that call a command, and those of all commands below it."""
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from paths(below, (*path, name))


join_workers()
COMMANDS = list(paths(get_command(cli)))
by_name = pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(("palimpsest", *path)))


def examples(path: tuple[str, ...]) -> list[list[str]]:
    """The examples in a command's help, as arguments."""
    shown = CliRunner().invoke(cli, [*path, "--help"], env={"COLUMNS": "250", "TERMINAL_WIDTH": "250"})
    assert shown.exit_code == 0
    lines = [line.strip().removeprefix("$ ") for line in shown.output.splitlines() if line.strip().startswith("$ ")]
    return [shlex.split(line) for line in lines]


@by_name
def test_every_command_has_examples(path: tuple[str, ...]) -> None:
    shown = examples(path)
    assert shown
    assert all(example[: 1 + len(path)] == ["palimpsest", *path] for example in shown)


def test_all_commands_are_looked_at() -> None:
    assert {
        (),
        ("serve",),
        ("apply",),
        ("keys",),
        ("keys", "create"),
        ("log", "show"),
        ("proposals", "drop"),
        ("alias",),
    } <= {*COMMANDS}


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    """The service is at version 1, with a fact in force; what a test proposes, waits no longer than the test."""
    with Client(stack.url) as client:
        if client.versions(MODEL).head == 0:
            client.edit(LYON).wait()
        client.rollback(MODEL, 1).wait()
        yield client
        for each in client.proposals(MODEL).proposals:
            client.drop(MODEL, each.id).wait()


@pytest.fixture
def folder(stack: Stack, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where examples are run: with data files, statistics in parts, the logs, which no worker leads, and a key."""
    monkeypatch.setenv("PALIMPSEST_URL", stack.url)
    monkeypatch.setenv("PALIMPSEST_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facts.csv").write_text(TABLE)
    (tmp_path / "facts.json").write_text(json.dumps({"batches": [[LYON]]}))
    (tmp_path / "texts.txt").write_text("\n".join(f"The capital of country {i} is city {i}." for i in range(100)))
    for number in (1, 2):
        part = Statistics({0: torch.eye(2)}, tokens=1)
        save_statistics(part, tmp_path / f"part{number}.safetensors", f"{number}/2")
    shutil.copytree(data_dir / "log", tmp_path / "data" / "log")
    return tmp_path


@by_name
def test_the_examples_run(client: Client, folder: Path, path: tuple[str, ...]) -> None:
    if path == ("keys", "revoke"):
        KeyFolder(folder / "data" / "keys").create("ann", [Scope.QUERY])
    for example in examples(path):
        arguments = example[1:]
        if WAITS in arguments:
            waits = client.edit({**LYON, "object": "Peru"}, propose=True).wait().proposal or ""
            arguments = [waits if word == WAITS else word for word in arguments]
        if arguments[0] in LONG:
            arguments.append("--help")
        done = CliRunner().invoke(cli, arguments)
        assert done.exit_code == 0, (example, done.output)


def test_bash_completes_what_is_typed() -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for typed, known in {"proposals pu": "publish", "onb": "onboard", "ask --pl": "--plain"}.items():
        words = ("palimpsest", *typed.split())
        line = f"COMP_WORDS=({' '.join(words)}) COMP_CWORD={len(words) - 1}"
        script = f'eval "$(palimpsest --show-completion)"; {line}; _palimpsest_completion palimpsest; echo $COMPREPLY'
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
        assert done.stdout == f"{known}\n", done.stderr

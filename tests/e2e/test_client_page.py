"""docs/client.md: what it shows is what works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from app.cli import cli
from app.client import Client
from app.domain.contract import ImportFormat
from app.local.stack import Stack

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=["waiting", "awaiting"])
def test_its_programs_run(stack: Stack, program: str, capsys: pytest.CaptureFixture[str]) -> None:
    at_home = program.replace("http://127.0.0.1:8000", stack.url).replace("from palimpsest", "from app.client")
    exec(compile(at_home, "client.md", "exec"), {"__name__": "__main__"})
    told = capsys.readouterr().out
    assert re.search(r"\[True\]\n Japan|end None\n\d+", told), told


def test_its_tables_name_methods_commands_and_formats_that_there_are() -> None:
    commands = get_command(cli).commands  # type: ignore[attr-defined]
    for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE):
        for name in re.findall(r"`(\w+)[^`]*`", row):
            assert hasattr(Client, name) or name in commands or name in {each.value for each in ImportFormat}, name

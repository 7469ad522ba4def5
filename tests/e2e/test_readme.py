"""The README's sessions, run in order on a service that was just started: what each step says is what is shown."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.local.stack import Stack, StackSettings, free_port, running
from tests.e2e.conftest import MODEL
from tests.support.shown_sessions import OF_VLLM, Said, Step, alike, run, section, steps

ROOT = Path(__file__).parents[2]
WHOLE = (ROOT / "README.md").read_text(encoding="utf-8")
LEFT_OUT = section(WHOLE, OF_VLLM)
PAGE = WHOLE.replace(LEFT_OUT, "\n" * LEFT_OUT.count("\n"))
ADDRESS = "localhost:8000"
WIDTH = "102"
"""Columns of the terminal that is shown: a job's id has two lines there, both long enough to be known as such."""

CURL = (7, 84)

STARTS = ("serve", "onboard", "evaluate")
"""Commands of ours that start a service, or take minutes: only their options are looked at."""

FOR_A_NEWCOMER = (
    f"curl -s {ADDRESS}/edits",
    *(
        f"palimpsest {name}"
        for name in ("edit", "ask", "jobs", "versions", "diff", "rollback", "export", "keys", "proposals")
    ),
    "from palimpsest import Client",
    "from openai import OpenAI",
    f"{MODEL}@0",
)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Stack]:
    """As `palimpsest serve` in a new folder."""
    settings = StackSettings((MODEL,), tmp_path / ".palimpsest", port=free_port(), logs=tmp_path / "log")
    with running(settings) as started:
        yield started


def as_run(step: Step) -> Step:
    """The step; of what would not come back, a look at whether it exists."""
    words = shlex.split(step.command, comments=True)
    if words[0] == "make":
        return replace(step, command=f"{shlex.join(('make', '-n', '-C', str(ROOT), *words[1:]))} >/dev/null")
    if words[0] == "palimpsest" and words[1] in STARTS:
        return replace(step, command=f"{shlex.join((*words, '--help'))} >/dev/null")
    return step


def told(said: Said) -> str:
    """How a step differs from what is shown."""
    step = said.step
    return f"README.md:{step.line}: {step.command}\n-- shown:\n{step.shown}\n-- said, status {said.status}:\n{said.out}"


@pytest.fixture(scope="session")
def curl() -> None:
    """A curl that is new enough for what is shown."""
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    told = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, told.split()[1].split(".")[:2])) < CURL:
        pytest.skip(f"this curl is older than what the README asks for: {told.splitlines()[0]}")


@pytest.mark.usefixtures("curl")
def test_what_the_readme_shows_is_what_happens(service: Stack, tmp_path: Path) -> None:
    page = PAGE.replace(ADDRESS, service.url.removeprefix("http://"))
    given = {name: value for name, value in os.environ.items() if not name.startswith("PALIMPSEST_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{given['PATH']}"
    environment = {**given, "PATH": path, "PALIMPSEST_URL": service.url, "COLUMNS": WIDTH, "TERM": "dumb"}
    wrong = [said for said in run([as_run(step) for step in steps(page)], tmp_path, environment) if not said.as_shown]
    assert not wrong, "\n\n".join(map(told, wrong))


def test_only_the_session_with_vllm_is_left_out_and_its_folder_of_tests_runs_it() -> None:
    left_out = list(steps(LEFT_OUT))
    assert len(left_out) == 4
    assert [step for step in steps(WHOLE) if "vllm" in step.command] == [
        replace(step, line=step.line + WHOLE[: WHOLE.index(LEFT_OUT)].count("\n"))
        for step in left_out
        if "vllm" in step.command
    ]
    assert "section(" in (ROOT / "tests" / "fleet" / "test_readme.py").read_text(encoding="utf-8")


def test_a_section_ends_at_the_next_of_its_rank_or_above() -> None:
    page = "# a\n## b\nx\n### c\ny\n## d\nz\n"
    assert section(page, "## b") == "## b\nx\n### c\ny\n"
    assert section(page, "### c") == "### c\ny\n"
    assert section(page, "## d") == "## d\nz\n"
    with pytest.raises(ValueError, match="unpack"):
        section(page, "## e")


@pytest.mark.parametrize("way", FOR_A_NEWCOMER)
def test_every_way_to_use_it_is_shown_in_a_session(way: str) -> None:
    assert any(way in step.command for step in steps(PAGE))


def test_a_command_is_told_from_what_it_says() -> None:
    session, program = "$ curl -d '{\n  \"a\": 1}'\n{}\n\n$ ls  # none", "print(2)  # 2\nx = 1  # y"
    page = f"text\n```console\n{session}\n```\n```\na picture\n```\n```python\n{program}\n```"
    assert list(steps(page)) == [
        Step(3, "curl -d '{\n  \"a\": 1}'", "{}\n"),
        Step(7, "ls  # none", ""),
        Step(13, f"python3 -c '{program}'", "2"),
    ]


@pytest.mark.parametrize("page", ["```sh\nls\n```", "```console\nls\n```", "```console\n$ ls\n"])
def test_a_block_that_cannot_be_run_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match=r"nothing runs|no command|shorter"):
        list(steps(page))


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        ("job 9968bdbcecd4946a: 1.0 s", "job f052ae4a825026cf: 11.7 s", True),
        ("│ 94.2% │", "│  94.1% │\n", True),
        ("│ 94.2% │", "│ 84.2% │", False),
        ("│ <0.1% │", "│ >0.1% │", False),
        ("version 1", "version 2", False),
        ("version 1", "version 1 hold", False),
        ("a  Japan", "a Japan", True),
        ("Japan", "France", False),
        ("2026-11-26 06:47:50", "2027-01-02 03:04:05", True),
    ],
)
def test_ids_times_and_last_digits_are_all_that_may_differ(shown: str, said: str, same: bool) -> None:
    assert alike(shown, said) is same


def test_a_step_that_fails_is_not_as_shown(tmp_path: Path) -> None:
    script = [Step(1, "a=5", ""), Step(2, "echo $a", "5"), Step(3, "false", ""), Step(4, "echo $a", "6")]
    assert [said.as_shown for said in run(script, tmp_path, dict(os.environ))] == [True, True, False, False]

"""Sessions as a page shows them: its commands and programs, run one after another, and what they say."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isclose
from pathlib import Path

FENCE, PROMPT = "```", "$ "
LANGUAGES = frozenset({"", "console", "python"})
"""Of blocks: pictures, sessions of a shell, programs. Others would be shown and not run."""

OF_VLLM = "### To vLLM servers, as they run"
"""The README's section whose session needs a vLLM server: `make fleettest` runs it."""

PRINTED = re.compile(r"^ *print\(.*\)  # (.*)$", re.MULTILINE)
"""A program shows what it prints in a comment behind."""

VARYING = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<=proposed-)\d{8}",
        r"\b[0-9a-f]{12,}\b",  # a job's id, or what a table has of it in one line
        r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+Z)?",
        r"\b\d+\.\d(?= s\b)",
        r"\b[\d,]+(?= bytes\b)",
    )
)
NUMBER = re.compile(r"(\d+\.\d+(?:e[+-]?\d+)?)")
LAST_DIGITS = 0.02
"""By how much of itself a number with a point may be another on another processor."""

MARK = "\x1e"
TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Step:
    """A command, or a program as the command that runs it; its line in the page, and what is shown of its output."""

    line: int
    command: str
    shown: str


@dataclass(frozen=True, slots=True)
class Said:
    """How a step went."""

    step: Step
    status: int
    out: str

    @property
    def as_shown(self) -> bool:
        """Whether it went well and said what is shown."""
        return self.status == 0 and alike(self.step.shown, self.out)


def steps(page: str) -> Iterator[Step]:
    """All steps of a page in Markdown, in order.

    Raises:
        ValueError: a block is in a language that is not run, or begins with something else than a command.
    """
    lines = page.splitlines()
    fences = [number for number, line in enumerate(lines) if line.startswith(FENCE)]
    for begin, end in zip(fences[::2], fences[1::2], strict=True):
        language, block = lines[begin].removeprefix(FENCE), lines[begin + 1 : end]
        if language not in LANGUAGES:
            raise ValueError(f"line {begin + 1}: nothing runs a block of {language}")
        if language == "console":
            yield from _commands(block, begin + 2)
        elif language == "python":
            program = "\n".join(block)
            yield Step(begin + 2, shlex.join(("python3", "-c", program)), "\n".join(PRINTED.findall(program)))


def section(page: str, heading: str) -> str:
    """A section of a page: from its heading, with its signs (``## Start``), to the next one of its rank or above.

    Raises:
        ValueError: there is no such heading, or it comes twice.
    """
    lines = page.splitlines(keepends=True)
    [begin] = [number for number, line in enumerate(lines) if line.rstrip() == heading]
    rank = len(heading) - len(heading.lstrip("#"))
    later = range(begin + 1, len(lines))
    end = next((at for at in later if re.match(rf"#{{1,{rank}}} ", lines[at])), len(lines))
    return "".join(lines[begin:end])


def _commands(block: list[str], first: int) -> Iterator[Step]:
    at = 0
    while at < len(block):
        if not block[at].startswith(PROMPT):
            raise ValueError(f"line {first + at}: no command")
        begin, command = at, block[at].removeprefix(PROMPT)
        at += 1
        while _unfinished(command):
            command += f"\n{block[at]}"
            at += 1
        shown = []
        while at < len(block) and not block[at].startswith(PROMPT):
            shown.append(block[at])
            at += 1
        yield Step(first + begin, command, "\n".join(shown))


def _unfinished(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:  # a quotation goes on
        return True
    return False


def run(script: list[Step], folder: Path, environment: Mapping[str, str]) -> list[Said]:
    """Run all steps in one shell, whose variables stay; what they say on standard error is not shown on pages.

    Raises:
        subprocess.TimeoutExpired: they did not end. ValueError: the shell ended before them.
    """
    lines = [f"{{ {step.command}\n}} </dev/null; printf '\\n{MARK}%s{MARK}' $?" for step in script]
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", "\n".join(lines)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    parts = done.stdout.split(MARK)
    return [Said(step, int(status), out) for step, out, status in zip(script, parts[:-1:2], parts[1::2], strict=True)]


def alike(shown: str, said: str) -> bool:
    """Whether two texts say the same, but for ids, times, sizes, white space and the last digits of numbers."""
    ours, theirs = _constant(shown), _constant(said)
    return len(ours) == len(theirs) and all(map(_near, ours, theirs))


def _constant(text: str) -> list[str]:
    for pattern in VARYING:
        text = pattern.sub("…", text)
    return text.split()


def _near(shown: str, said: str) -> bool:
    ours, theirs = NUMBER.split(shown), NUMBER.split(said)
    if ours[::2] != theirs[::2]:
        return False
    return all(isclose(float(a), float(b), rel_tol=LAST_DIGITS) for a, b in zip(ours[1::2], theirs[1::2], strict=True))

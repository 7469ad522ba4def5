"""Dockerfiles, read as far as the tests need it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its continuation lines joined."""

    keyword: str
    rest: str


def instructions(name: str) -> list[Instruction]:
    """The instructions of ``docker/<name>.Dockerfile`` in their order; comments left out."""
    text = (ROOT / "docker" / f"{name}.Dockerfile").read_text()
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    split = (line.split(maxsplit=1) for line in lines if line.strip())
    return [Instruction(keyword, " ".join(rest.split())) for keyword, rest in split]


def all_of(name: str, keyword: str) -> list[str]:
    """What follows each instruction of this keyword."""
    return [step.rest for step in instructions(name) if step.keyword == keyword]


def environment(name: str) -> dict[str, str]:
    """What the ENV instructions set."""
    settings = (pair for line in all_of(name, "ENV") for pair in shlex.split(line))
    return dict(pair.split("=", 1) for pair in settings)

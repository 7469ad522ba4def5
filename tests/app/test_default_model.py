"""Which model is served when nobody names one: the real one where its package is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest

from app.domain import smollm2


class Installed(PurePosixPath):
    """A file of a distribution."""

    def locate(self) -> Path:
        return Path("/", self)


def installed(monkeypatch: pytest.MonkeyPatch, *files: Path) -> None:
    found = [Installed(str(file).lstrip("/")) for file in files]
    monkeypatch.setattr(smollm2, "distribution", lambda _name: SimpleNamespace(files=found))


def test_smollm2_where_its_file_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "SmolLM2.Q4_1.gguf"
    file.touch()
    installed(monkeypatch, tmp_path / "__init__.py", file)
    assert smollm2.wheel_file() == file
    assert smollm2.default_model() == "smollm2"


def test_a_bundled_model_where_the_package_has_no_such_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed(monkeypatch, tmp_path / "gone.gguf")
    assert smollm2.default_model() == "atlas-gpt2"


def test_a_bundled_model_where_the_package_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> None:
        raise PackageNotFoundError

    monkeypatch.setattr(smollm2, "distribution", missing)
    assert smollm2.default_model() == "atlas-gpt2"

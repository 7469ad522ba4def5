"""A model is onboarded before it is served, once under each name, and never one whose preset ships."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from app.domain.errors import Unavailable
from app.domain.smollm2 import SHIPPED
from app.local.onboarding import onboard_new


class Runs:
    """Stands for subprocess.run: remembers the models, and ends as it is told."""

    def __init__(self, status: int) -> None:
        self.status, self.models = status, list[str]()

    def __call__(self, command: list[str], *, check: bool) -> subprocess.CompletedProcess[bytes]:
        assert not check
        self.models.append(command[command.index("onboard") + 1])
        return subprocess.CompletedProcess(command, self.status)


def test_each_new_model_once_and_none_that_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(0)
    monkeypatch.setattr(subprocess, "run", runs)
    for _ in range(2):
        onboard_new([*sorted(SHIPPED), "some/model"], tmp_path)
    assert runs.models == ["some/model"]


def test_one_that_cannot_be_onboarded_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(1)
    monkeypatch.setattr(subprocess, "run", runs)
    for _ in range(2):
        with pytest.raises(Unavailable):
            onboard_new(["some/model"], tmp_path)
    assert runs.models == ["some/model"] * 2

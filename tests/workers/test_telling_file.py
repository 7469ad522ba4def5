"""An onboarding that a service began tells it how far it is, in a file, and whoever else listens as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.contract import Progress
from workers.commands.telling_file import TellingFile
from workers.onboard import Telling
from workers.onboarding.search import Tried


def told(path: Path) -> Progress:
    return Progress.model_validate_json(path.read_bytes())


def test_tokens_then_trials_are_told_and_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.commands.telling_file.PAUSE_S", 0.0)
    path, tokens, trials = tmp_path / "one.progress", list[int](), list[Tried]()
    telling = TellingFile(path, 6.0).telling(Telling(tokens=tokens.append, tried=trials.append))
    for _ in range(2):
        telling.tokens(500)
    assert (told(path).stage, told(path).step) == ("statistics", 1000)
    trial = Tried({}, None)
    telling.tried(trial)
    assert told(path).stage == "search"
    assert 0.5 <= told(path).share < 0.9
    assert (tokens, trials) == ([500, 500], [trial])


def test_the_file_is_not_written_for_every_text(tmp_path: Path) -> None:
    path = tmp_path / "one.progress"
    telling = TellingFile(path, 6.0).telling(Telling())
    for _ in range(5):
        telling.tokens(1)
    assert told(path).step == 1

"""What runs in several folders have in common: the answers of the model before all edits."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.contract import Hyperparameters
from workers.experiments.run_folder import RunFolder, Unedited, Wanted

WANTED = Wanted(model="atlas", dataset="facts.json", digest="00", facts=4, batch=2, every=4)
ASKED = Unedited(plain=(), told=(), free=None)


def taken(folder: Path, **change: object) -> Unedited | None:
    """What a run that differs takes from one that has asked."""
    first, second = RunFolder(folder / "first"), RunFolder(folder / "second")
    first.begin(WANTED)
    first.note_unedited(ASKED)
    second.begin(WANTED.model_copy(update=change))
    second.take_unedited([RunFolder(folder / "never begun"), first])
    return second.unedited


@pytest.mark.parametrize(
    "change",
    [
        {"batch": 1},
        {"every": 2},
        {"method": "rect", "plan": "even"},
        {"hyperparameters": Hyperparameters(early_stop=1)},
        {"unheld": "keep"},
    ],
)
def test_however_it_is_edited_the_unedited_model_is_asked_once(tmp_path: Path, change: dict[str, object]) -> None:
    assert taken(tmp_path, **change) == ASKED


@pytest.mark.parametrize(
    "change",
    [{"facts": 3}, {"seed": 1}, {"digest": "01"}, {"model": "other"}, {"dtype": "float64"}, {"spoken": 0}],
)
def test_what_would_be_asked_otherwise_is_asked(tmp_path: Path, change: dict[str, object]) -> None:
    assert taken(tmp_path, **change) is None


def test_what_was_asked_here_stays(tmp_path: Path) -> None:
    other, run = RunFolder(tmp_path / "other"), RunFolder(tmp_path / "run")
    for folder in (other, run):
        folder.begin(WANTED)
    run.note_unedited(ASKED)
    other.note_unedited(ASKED.model_copy(update={"probes": (None,)}))
    run.take_unedited([other])
    assert run.unedited == ASKED

"""Case T16 of the field: of a model without a preset it is said which layers are edited, and what is computed first."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.support.tiny_models import save_tiny
from workers.editing.presets import generic_preset
from workers.host import statistics_store
from workers.host.host_settings import HostSettings
from workers.host.model_host import ModelHost
from workers.onboarding.own_statistics import own_statistics


@pytest.fixture
def unknown(tmp_path: Path) -> HostSettings:
    folder = save_tiny(tmp_path / "mine", "llama")
    for name in ("preset.json", "corpus.txt", "contexts.json"):
        (folder / name).unlink()
    return HostSettings(str(folder), "mine", tmp_path / "log", tmp_path, epoch_hint=lambda: 1)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log of a start at which a model writes few texts, and tells of each."""
    monkeypatch.setattr(statistics_store, "own_statistics", partial(own_statistics, max_tokens=500))
    monkeypatch.setattr(statistics_store, "TELL_EVERY_S", 0.0)
    caplog.set_level(logging.INFO, logger="workers.host")
    return caplog


def test_t16_layers_and_statistics_are_told_before_they_are_computed(
    unknown: HostSettings, told: pytest.LogCaptureFixture
) -> None:
    ModelHost.open(unknown).close()
    said = [record.getMessage() for record in told.records]
    assert generic_preset(4).layers == (1, 2)
    assert "no preset for this model, so the generic one" in said[0]
    assert said[0].endswith("memit, plan boundary, layers 1, 2")
    assert said[1].startswith("statistics are needed first, C at layers 1, 2: the model writes texts of its own")
    assert any("tokens so far" in line for line in said[2:])


def test_t16_the_next_start_says_what_is_edited_and_computes_nothing(
    unknown: HostSettings, told: pytest.LogCaptureFixture
) -> None:
    ModelHost.open(unknown).close()
    told.clear()
    ModelHost.open(unknown).close()
    said = [record.getMessage() for record in told.records]
    assert said[0].endswith("layers 1, 2")
    assert not any("statistics" in line for line in said)


def test_t16_the_file_that_a_preset_is_of_is_told(unknown: HostSettings, told: pytest.LogCaptureFixture) -> None:
    given = Path(unknown.source) / "given.json"
    given.write_text('{"layers": [0, 3], "method": "alphaedit"}')
    ModelHost.open(replace(unknown, preset=given)).close()
    assert told.records[0].getMessage() == "preset of given.json: alphaedit, plan boundary, layers 0, 3"

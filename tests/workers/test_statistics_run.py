"""`palimpsest statistics` without --layers: those of the model's preset, however that is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny_models import save_tiny
from workers.editing.loading import load
from workers.editing.presets import generic_preset
from workers.editing.presets.preset import Preset, read_preset
from workers.editing.statistics import fingerprint
from workers.onboarding.kept import SAID, Kept
from workers.onboarding.search import AXES
from workers.statistics_run import StatisticsRun


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(save_tiny(tmp_path / "mine", "llama"))


def layers(model: str, data_dir: Path, asked: tuple[int, ...] = ()) -> tuple[int, ...]:
    return StatisticsRun.open(model, asked, device="cpu", dtype="float32", data_dir=data_dir).layers


def test_those_that_onboarding_found(model: str, tmp_path: Path) -> None:
    assert layers(model, tmp_path) == generic_preset(4).layers == (1, 2)
    Kept.of(tmp_path, fingerprint(load(model))).write(Preset((0, 3)), "# card")
    assert layers(model, tmp_path) == (0, 3)
    assert layers(model, tmp_path, (2,)) == (2,)


def test_those_of_a_preset_that_ships_for_its_weights_under_any_name(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {"default": {"method": "memit", "plan": "boundary"}, "common": {"layers": [2, 3]}}
    known_by = fingerprint(load(model))
    monkeypatch.setattr(
        "workers.editing.presets._known", lambda _source, fingerprint: data if fingerprint == known_by else None
    )
    assert layers(model, tmp_path) == (2, 3)


def test_a_kept_preset_says_all_that_was_searched_for(tmp_path: Path) -> None:
    kept, chosen = Kept.of(tmp_path, "0" * 16), Preset((0, 3), plan="replay", share=0.6, v_lr=0.2, v_weight_decay=0.1)
    kept.write(chosen, "# card")
    assert {*AXES, "layers", "method"} == {*SAID}
    assert read_preset(kept.preset) == chosen

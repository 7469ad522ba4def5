"""Statistics that ship: half of each symmetric matrix, the same to the bit when it is whole again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.editing.families import random_second_moment
from workers.models import shipped_statistics
from workers.models.shipped_statistics import FOLDER, ship, shipped, shipped_file


def test_what_ships_is_what_was_taken_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped_statistics, "FOLDER", tmp_path)
    moments = {layer: random_second_moment(24, layer).float() for layer in (3, 7)}
    moments = {layer: (each + each.T) / 2 for layer, each in moments.items()}
    ship("globe", moments, 1234, "f" * 64)
    found = shipped("f" * 64)
    assert found is not None
    assert found[1] == 1234
    assert {layer: torch.equal(found[0][layer], each) for layer, each in moments.items()} == {3: True, 7: True}
    assert (shipped("0" * 64), shipped_file("0" * 64)) == (None, None)


def test_no_file_that_ships_is_larger_than_ten_megabytes() -> None:
    assert all(path.stat().st_size < 10e6 for path in FOLDER.glob("*"))

"""Factors from the log alone are what the version adds to the weights, for every kind of change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from app.domain.contract import Rollback
from app.domain.errors import CompactedVersion
from app.domain.log.edit_log import EditLog
from app.domain.log.reader import LogReader
from tests.support.tiny_models import save_tiny
from tests.support.turns import done
from tests.support.worker_bench import opened
from tests.workers.exports.conftest import MASKED, RESTRAINED, TUNED_TOO, write_history
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.updates import LowRank
from workers.engines.adapters import Adapters
from workers.engines.compacted import SnapshotChanges
from workers.engines.factors import best_of, best_of_product, factors_of
from workers.exports.adapter import ADAPTER_FILE, CONFIG_FILE
from workers.exports.from_log import LoggedModel
from workers.versions.replay import state_at


def test_factors_are_the_change_of_every_kind_of_version(tmp_path: Path) -> None:
    with opened(save_tiny(tmp_path / "model"), tmp_path / "data") as host:
        write_history(host)
        done(host, "home", Rollback(to=0))
        log = LogReader(tmp_path / "data" / "log", "tiny")
        for version in range(1, host.version + 1):
            state = state_at(host.live, log, log.replay(version))
            found = factors_of(log, version, None)
            if state.applied:
                assert found.keys() == state.applied.keys()
            for layer, each in found.items():
                meant = state.applied.get(layer, host.live.base(layer)).double() - host.live.base(layer).double()
                assert torch.allclose(each.left.double() @ each.right.double(), meant, atol=2e-6), (version, layer)
        ranks = {version: max(each.rank for each in factors_of(log, version, None).values()) for version in range(1, 8)}
        assert ranks[1] == 2  # two facts
        assert ranks[TUNED_TOO] <= ranks[RESTRAINED] <= ranks[MASKED]
        assert ranks[7] == 0
        adapters = Adapters(log, tmp_path / "adapters")
        nothing = adapters.of(7, None)
        assert (nothing.note.empty, nothing.note.rank) == (True, 1)
        assert all(not part.any() for part in load_file(Path(nothing.path) / ADAPTER_FILE).values())
        assert adapters.of(MASKED, 4).note.cut


def test_the_best_of_a_product_is_the_best_of_its_matrix_and_both_factors_are_of_one_scale() -> None:
    torch.manual_seed(0)
    product = LowRank(torch.randn(20, 5) * 1e3, torch.randn(5, 30) * 1e-6)
    whole, cut = best_of_product(product, None), best_of_product(product, 2)
    assert (whole.rank, whole.needed, cut.rank, cut.needed) == (5, 5, 2, 5)
    assert whole.left_out == 0
    values = torch.linalg.svdvals(product.dense.double())
    assert cut.left_out == pytest.approx(float(values[2:].norm() / values.norm()), rel=1e-6)
    assert torch.allclose(cut.left @ cut.right, best_of(product.dense, 2).left @ best_of(product.dense, 2).right)
    assert torch.allclose(cut.left.norm(dim=0), cut.right.norm(dim=1))


def test_a_rank_that_is_said_twice_counts_once() -> None:
    row = torch.randn(1, 6)
    assert best_of_product(LowRank(torch.ones(4, 3), row.repeat(3, 1)), None).rank == 1


def test_a_folder_of_another_log_or_without_its_note_is_written_anew(tmp_path: Path) -> None:
    with opened(save_tiny(tmp_path / "model"), tmp_path / "data") as host:
        write_history(host)
    log = LogReader(tmp_path / "data" / "log", "tiny")
    adapters = Adapters(log, tmp_path / "adapters", "/seen/there/")
    assert adapters.of(2, None).path == "/seen/there/tiny@2"
    note = tmp_path / "adapters" / "tiny@2" / "palimpsest.json"
    told = json.loads(note.read_text())
    assert set(told["files"]) == {ADAPTER_FILE, CONFIG_FILE}
    for spoilt in (json.dumps(told | {"manifest": "0" * 64}), "{", json.dumps(told | {"files": {}})):
        note.write_text(spoilt)
        assert adapters.of(2, None).note.manifest == log.digest(2)
        assert json.loads(note.read_text()) == told
    (tmp_path / "adapters" / ".tiny@3.unfinished").mkdir()
    (tmp_path / "adapters" / "other@1").mkdir()
    adapters.clean(frozenset({1}))
    assert [each.name for each in (tmp_path / "adapters").iterdir()] == ["other@1"]


def test_a_version_whose_updates_were_compacted_away_comes_from_a_snapshot_and_the_base(tmp_path: Path) -> None:
    base = save_tiny(tmp_path / "model")
    with opened(base, tmp_path / "data", snapshot_every=1) as host:
        write_history(host)
        log = LogReader(tmp_path / "data" / "log", "tiny")
        meant = factors_of(log, 6, None)
    EditLog(tmp_path / "data" / "log", "tiny").compact(before=6)
    after = LogReader(tmp_path / "data" / "log", "tiny")
    with pytest.raises(CompactedVersion):
        factors_of(after, 6, None)

    def loaded() -> EditableModel:
        root, data = tmp_path / "data" / "log", tmp_path / "data"
        return LoggedModel.open(root, "tiny", None, data, device="cpu", dtype="float32").live

    found = factors_of(after, 6, None, SnapshotChanges(after, loaded))
    assert found.keys() == meant.keys()
    for layer, each in found.items():
        assert torch.allclose(each.left @ each.right, meant[layer].left @ meant[layer].right, atol=2e-6)

"""An export that does not read back as the version is never finished: it fails, and nothing of it stays."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from app.domain.contract import Export, ExportFormat
from app.domain.errors import ExportFailed
from tests.support.turns import done
from tests.workers.exports.conftest import MEMIT, Exported
from workers.exports import exporter
from workers.exports.adapter import Adapter
from workers.exports.formats import FORMATS
from workers.exports.merged import Merged
from workers.exports.package import Package
from workers.exports.updates import Updates
from workers.steps import Unwatched


def flipped(name: str) -> Callable[[Path], None]:
    """The last bit of the last tensor's first byte."""

    def damage(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[-4] ^= 1
        (folder / name).write_bytes(data)

    return damage


def cut(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:-1])

    return damage


def missing(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def without_a_tensor(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / name)
        tensors.pop(sorted(tensors)[0])
        save_file(tensors, folder / name, metadata={"format": "pt"})

    return damage


def told_otherwise(name: str, field: str, value: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_text(json.dumps({**json.loads((folder / name).read_text()), field: value}))

    return damage


def without_merges(folder: Path) -> None:
    path = folder / "tokenizer.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "model": {**whole["model"], "merges": []}}))


ADAPTER, WEIGHTS, FACTORS = "adapter_model.safetensors", "model.safetensors", "updates.safetensors"
DAMAGES = [
    (Merged, flipped(WEIGHTS), "do not have the bits"),
    (Merged, cut(WEIGHTS), "cannot be loaded"),
    (Merged, missing("tokenizer.json"), "cannot be loaded|other tokens"),
    (Merged, without_merges, "other tokens"),
    (Merged, told_otherwise("config.json", "model_type", "nothing"), "cannot be loaded"),
    (Adapter, flipped(ADAPTER), "do not have the bits"),
    (Adapter, cut(ADAPTER), "cannot be loaded"),
    (Adapter, without_a_tensor(ADAPTER), "cannot be loaded|too many or too few"),
    (Adapter, told_otherwise("adapter_config.json", "lora_alpha", 40), "logits are off"),
    (Adapter, told_otherwise("adapter_config.json", "target_modules", []), "logits are off"),
    (Adapter, told_otherwise("adapter_config.json", "r", None), "cannot be loaded"),
    (Updates, flipped(FACTORS), "do not have the bits"),
    (Updates, without_a_tensor(FACTORS), "cannot be loaded|too many or too few"),
    (Updates, missing(FACTORS), "cannot be loaded"),
]


@pytest.mark.parametrize(("kind", "damage", "reason"), DAMAGES)
def test_what_was_damaged_while_it_was_written_fails_and_goes(
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Package],
    damage: Callable[[Path], None],
    reason: str,
) -> None:
    class Damaged(kind):  # type: ignore[valid-type, misc]
        def write(self, folder: Path) -> None:
            super().write(folder)
            damage(folder)

    host, [wanted] = exported.host, [name for name, found in FORMATS.items() if found is kind]
    monkeypatch.setattr(exporter, "FORMATS", {wanted: Damaged})
    made = exporter.Exporter(host.live, host.log, str(exported.base), None)
    with pytest.raises(ExportFailed, match=reason):
        made.export(wanted, MEMIT, tmp_path / "out", "out", Unwatched())
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_for_a_base_that_is_another_one_by_now_fails(exported: Exported, tmp_path: Path) -> None:
    host, base = exported.host, tmp_path / "base"
    shutil.copytree(exported.base, base)
    tensors = load_file(base / WEIGHTS)
    name = next(each for each in tensors if "norm" in each or "ln_f.weight" in each)
    tensors[name] = tensors[name] * 1.5
    save_file(tensors, base / WEIGHTS, metadata={"format": "pt"})
    made = exporter.Exporter(host.live, host.log, str(base), None)
    with pytest.raises(ExportFailed, match="logits are off"):
        made.export(ExportFormat.PEFT, MEMIT, tmp_path / "out", "out", Unwatched())
    assert list(tmp_path.iterdir()) == [base]


def test_a_card_that_cannot_be_read_is_not_taken_for_a_finished_export(exported: Exported) -> None:
    wanted, folder = Export(format=ExportFormat.UPDATES, version=1), exported.data / "exports/tiny/torn-updates"
    folder.mkdir(parents=True)
    (folder / "palimpsest.json").write_text("{")
    with pytest.raises(ExportFailed, match="cannot be read"):
        done(exported.host, "torn", wanted)

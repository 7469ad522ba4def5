"""Damage is noticed, and the damaged file is named."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from app.domain.digests import with_digest
from app.domain.errors import DamagedVersion, UnknownModel
from app.domain.log.edit_log import EditLog
from tests.support.logs import MODEL, UPDATE, base, commit, contents, log_with, version_dir

Damage = Callable[[Path], None]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


DAMAGES = pytest.mark.parametrize("damage", [cut, flip_a_bit, lengthen, empty, remove])


def readers(root: Path, warm: EditLog) -> list[EditLog]:
    """One that has read the log before the damage, and one that has not."""
    return [warm, EditLog(root, MODEL)]


def named(error: pytest.ExceptionInfo[DamagedVersion], root: Path) -> Path:
    """The damaged file: errors name it relative to the root of the logs, so that callers learn no paths."""
    assert str(root) not in error.value.detail
    return root / str(error.value.value)


@DAMAGES
def test_of_a_tensor_file(tmp_path: Path, damage: Damage) -> None:
    log = log_with(tmp_path, versions=2)
    path = version_dir(tmp_path, 1) / UPDATE
    damage(path)
    for reader in readers(tmp_path, log):
        with pytest.raises(DamagedVersion) as caught:
            reader.read(1, UPDATE)
        assert named(caught, tmp_path) == path
        assert reader.read(2, UPDATE) == contents(2)


@DAMAGES
@pytest.mark.parametrize("version", [1, 2, 3])
def test_of_a_manifest(tmp_path: Path, damage: Damage, version: int) -> None:
    log = log_with(tmp_path, versions=3)
    log.manifests()
    path = version_dir(tmp_path, version) / "manifest.json"
    damage(path)
    for reader in readers(tmp_path, log):
        uses: tuple[Callable[[], object], ...] = (
            partial(reader.manifest, version),
            partial(reader.read, version, UPDATE),
            reader.manifests,
            reader.facts_in_force,
        )
        for use in uses:
            with pytest.raises(DamagedVersion) as caught:
                use()
            assert named(caught, tmp_path) == path


@DAMAGES
def test_of_the_base(tmp_path: Path, damage: Damage) -> None:
    log = log_with(tmp_path, versions=1)
    path = tmp_path / MODEL / "base.json"
    damage(path)
    for reader in readers(tmp_path, log):
        with pytest.raises(DamagedVersion) as caught:
            reader.manifests()
        assert named(caught, tmp_path) == path
        with pytest.raises(UnknownModel if damage is remove else DamagedVersion):
            reader.base()


@DAMAGES
def test_of_a_digest(tmp_path: Path, damage: Damage) -> None:
    log_with(tmp_path, versions=1)
    damage(version_dir(tmp_path, 1) / "manifest.json.sha256")
    with pytest.raises(DamagedVersion, match=r"manifest\.json"):
        EditLog(tmp_path, MODEL).manifest(1)


def test_of_a_version_that_is_gone(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=3)
    log.manifests()
    shutil.rmtree(version_dir(tmp_path, 2))
    for reader in readers(tmp_path, log):
        assert reader.head() == 3
        for version in (2, 3):
            with pytest.raises(DamagedVersion, match="00000002"):
                reader.manifest(version)


def test_of_versions_that_were_swapped(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=3)
    log.manifests()
    version_dir(tmp_path, 1).rename(tmp_path / "aside")
    version_dir(tmp_path, 2).rename(version_dir(tmp_path, 1))
    (tmp_path / "aside").rename(version_dir(tmp_path, 2))
    for reader in readers(tmp_path, log):
        for version in (1, 2):
            with pytest.raises(DamagedVersion, match=rf"{version:08d}/manifest\.json is that of version"):
                reader.manifest(version)


def test_of_a_version_that_was_rewritten_with_a_fit_digest(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=2)
    log.manifests()
    folder = version_dir(tmp_path, 1)
    told = json.loads((folder / "manifest.json").read_bytes())
    told["facts"][0]["object"] = "Atlantis"
    for name, data in with_digest("manifest.json", json.dumps(told).encode()).items():
        (folder / name).write_bytes(data)
    for reader in readers(tmp_path, log):
        with pytest.raises(DamagedVersion, match=r"00000002/manifest\.json does not follow from version 1"):
            reader.manifests()


def test_of_a_base_that_was_rewritten_with_a_fit_digest(tmp_path: Path) -> None:
    log_with(tmp_path, versions=1)
    other = base(contexts=("{}", "Elsewhere, {}")).model_dump_json().encode()
    for name, data in with_digest("base.json", other).items():
        (tmp_path / MODEL / name).write_bytes(data)
    with pytest.raises(DamagedVersion, match="does not follow from version 0"):
        EditLog(tmp_path, MODEL).manifests()


def test_of_a_manifest_from_a_later_release(tmp_path: Path) -> None:
    log_with(tmp_path, versions=1)
    folder = version_dir(tmp_path, 1)
    told = json.loads((folder / "manifest.json").read_bytes()) | {"kind": "unheard of"}
    for name, data in with_digest("manifest.json", json.dumps(told).encode()).items():
        (folder / name).write_bytes(data)
    with pytest.raises(DamagedVersion, match="is no manifest that this release knows"):
        EditLog(tmp_path, MODEL).manifest(1)


def test_nothing_is_committed_on_top_of_damage(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=2)
    flip_a_bit(version_dir(tmp_path, 2) / "manifest.json")
    with pytest.raises(DamagedVersion):
        commit(log, 3)
    assert log.head() == 2


def test_of_a_log_can_be_looked_for_with_sha256sum(tmp_path: Path) -> None:
    log_with(tmp_path, versions=1)
    for folder, name in ((tmp_path / MODEL, "base.json"), (version_dir(tmp_path, 1), "manifest.json")):
        command = ["sha256sum", "--check", "--strict", f"{name}.sha256"]
        assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0

"""Every file of a version, cut at every 64th byte and flipped at random bytes: noticed, named, never served."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.domain.errors import DamagedVersion
from app.domain.log.check import LogCheck
from app.domain.log.edit_log import EditLog
from tests.app.domain.log.test_snapshots import snapshot
from tests.support.logs import MODEL, UPDATE, contents, draft, files_of, log_with

LAST = 3
CUT_AT_EVERY = 64
FLIPS = 30
NEWEST = bytes(range(250)) * 4


@pytest.fixture
def log(tmp_path: Path) -> EditLog:
    log = log_with(tmp_path, versions=LAST - 1)
    log.commit(draft(LAST, epoch=9), {UPDATE: NEWEST})
    return log


def cuts(data: bytes) -> Iterator[bytes]:
    return (data[:size] for size in range(0, len(data), CUT_AT_EVERY))


def flips(data: bytes) -> Iterator[bytes]:
    chance = random.Random(len(data))
    for _ in range(FLIPS):
        changed = bytearray(data)
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        yield bytes(changed)


@pytest.mark.parametrize("damages", [cuts, flips])
@pytest.mark.parametrize("name", ["manifest.json", "manifest.json.sha256", UPDATE])
def test_of_a_version(tmp_path: Path, log: EditLog, name: str, damages: Callable[[bytes], Iterator[bytes]]) -> None:
    path = tmp_path / MODEL / "versions" / f"{LAST:08d}" / name
    whole, before = path.read_bytes(), log.manifests()[:-1]
    for damaged in damages(whole):
        path.write_bytes(damaged)
        fresh = EditLog(tmp_path, MODEL)
        for reader in (fresh,) if name.endswith(".sha256") else (fresh, log):  # who has verified needs no digest again
            with pytest.raises(DamagedVersion) as caught:
                reader.read(LAST, UPDATE)
            assert str(caught.value.value).startswith(f"{MODEL}/versions/{LAST:08d}/{name.removesuffix('.sha256')}")
            assert reader.manifests(LAST - 1) == before
            assert [reader.read(version, UPDATE) for version in (1, 2)] == [contents(1), contents(2)]
            assert [term.version for term in reader.replay(LAST - 1).rest] == [1, 2]
        checked = [each for each in LogCheck(tmp_path, MODEL).run() if each.damage]
        assert [each.title for each in checked] == [f"version {LAST}"]
        assert checked[0].remedies
    path.write_bytes(whole)
    assert EditLog(tmp_path, MODEL).read(LAST, UPDATE) == NEWEST


@pytest.mark.parametrize("damages", [cuts, flips])
def test_of_a_snapshot(tmp_path: Path, log: EditLog, damages: Callable[[bytes], Iterator[bytes]]) -> None:
    snapshot(log, 2, bytes(range(256)))
    for path in sorted((tmp_path / MODEL / "snapshots" / "00000002").iterdir()):
        whole = path.read_bytes()
        for damaged in damages(whole):
            path.write_bytes(damaged)
            with pytest.raises(DamagedVersion, match=r"snapshots/00000002/"):
                log.read_snapshot(2)
            assert log.replay().snapshot is None
        path.write_bytes(whole)
    assert log.replay().snapshot is not None


@pytest.mark.parametrize("damages", [cuts, flips])
@pytest.mark.parametrize("name", ["base.json", "base.json.sha256"])
def test_of_the_base(tmp_path: Path, log: EditLog, name: str, damages: Callable[[bytes], Iterator[bytes]]) -> None:
    path = tmp_path / MODEL / name
    for damaged in damages(path.read_bytes()):
        path.write_bytes(damaged)
        for use in (log.base, log.manifests, log.facts_in_force, log.replay):
            with pytest.raises(DamagedVersion, match=r"base\.json"):
                use()


def test_of_any_byte_of_any_file_ends_in_an_error_that_names_it(tmp_path: Path, log: EditLog) -> None:
    chance = random.Random(0)
    names = sorted(name for name in files_of(tmp_path) if not name.endswith(("epoch", ".lock")))
    for _ in range(100):
        name = chance.choice(names)
        whole = (tmp_path / name).read_bytes()
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        (tmp_path / name).write_bytes(changed)
        reader = EditLog(tmp_path, MODEL)
        with pytest.raises(DamagedVersion) as caught:
            [reader.read(version, UPDATE) for version in range(1, LAST + 1)]
        assert caught.value.value == name.removesuffix(".sha256")
        (tmp_path / name).write_bytes(whole)

"""A program on the machine of `palimpsest serve` finds the service; nobody else may read where."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from app.domain.local_service import FILE, LocalService

HERE = LocalService(redis_url="unix:///tmp/x/redis.sock", worker_secret="s" * 32)


def test_what_was_written_is_found_until_it_is_removed(tmp_path: Path) -> None:
    assert LocalService.found(tmp_path) is None
    for service in (HERE, HERE.model_copy(update={"worker_secret": "t" * 32})):
        service.write(tmp_path)
        assert LocalService.found(tmp_path) == service
    LocalService.remove(tmp_path)
    LocalService.remove(tmp_path)
    assert LocalService.found(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_only_its_own_user_may_read_it_whatever_was_left_there(tmp_path: Path) -> None:
    (tmp_path / f".{FILE}").touch(mode=0o666)  # of one that was killed
    (tmp_path / FILE).touch(mode=0o666)
    HERE.write(tmp_path)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"{}", b'{"redis_url": 1, "worker_secret": "x"}', b"\xff"])
def test_a_file_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert LocalService.found(tmp_path) is None

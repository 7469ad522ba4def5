"""A leader writes snapshots and thins them; where either fails its job does not, and a start is a full replay."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from app.domain.failpoints import Point, armed
from tests.support.worker_bench import opened
from tests.workers.host.test_versions import edit, go_back, standing

CITIES = ("Lyon", "Oslo", "Quito", "Perth", "Turin", "Accra")


def test_few_of_many_stay_and_a_start_and_a_rollback_are_a_full_replay(model: Path, tmp_path: Path) -> None:
    with opened(model, tmp_path, snapshot_every=1) as host:
        for city in CITIES:
            edit(host, city)
        assert host.log.snapshots() == [2, 4, 5, 6]
        before = standing(host)
    plain = tmp_path / "plain"
    shutil.copytree(tmp_path / "log", plain / "log", ignore=shutil.ignore_patterns("snapshots"))
    with opened(model, plain, epoch=2) as replayed, opened(model, tmp_path, epoch=2) as again:
        assert standing(replayed) == standing(again) == before
        for host in (replayed, again):
            go_back(host, 3)
        assert standing(replayed) == standing(again)


def test_a_replica_writes_and_thins_none(model: Path, tmp_path: Path) -> None:
    with opened(model, tmp_path, snapshot_every=1) as host:
        edit(host, "Lyon")
        with opened(model, tmp_path, lead=False, snapshot_every=1) as replica:
            with armed("log.write.before=count") as traps:
                edit(host, "Oslo")
                written = traps[Point.LOG_WRITE_BEFORE].reached
                assert replica.follow()
                assert traps[Point.LOG_WRITE_BEFORE].reached == written
            assert standing(replica) == standing(host)


@pytest.mark.parametrize("fault", ["raise", "eio"])
def test_thinning_that_fails_is_no_failure_of_the_job_and_is_made_up_for(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    with opened(model, tmp_path, snapshot_every=1) as host:
        for city in CITIES[:3]:
            edit(host, city)
        with armed(f"discard.before={fault}"):
            assert edit(host, "Perth") == 4
        assert "snapshots not thinned" in caplog.text
        assert host.log.snapshots() == [1, 2, 3, 4]
        edit(host, "Turin")
        assert host.log.snapshots() == [1, 3, 4, 5]

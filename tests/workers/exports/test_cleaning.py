"""Old exports are removed by age, and nothing else is: not the log, nor what somebody else put there."""

from __future__ import annotations

import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.domain.contract import Export, ExportFormat
from tests.support.turns import digest_of, done
from tests.support.worker_bench import batch, opened
from tests.support.worker_process import until
from workers.exports.card import CARD_FILE
from workers.exports.cleaning import ExportCleaning

DAY_S = 24 * 3600.0


@pytest.fixture
def data(model: Path, tmp_path: Path) -> Path:
    """A version, and two exports of it."""
    with opened(model, tmp_path) as host:
        done(host, "edit", batch("Lyon"))
        for job in ("old", "young"):
            done(host, job, Export(format=ExportFormat.UPDATES))
    return tmp_path


def folder(data: Path, name: str = "") -> Path:
    return data / "exports" / "tiny" / name


def made_earlier(path: Path, days: float, **others: object) -> None:
    """Have an export's card say that it was made so long ago."""
    card = json.loads((path / CARD_FILE).read_text())
    card |= {"created": (datetime.now(UTC) - timedelta(days=days)).isoformat(), **others}
    (path / CARD_FILE).write_text(json.dumps(card))


def left(data: Path) -> list[str]:
    return sorted(path.name for path in folder(data).iterdir())


def test_what_is_older_than_it_may_be_is_removed_and_the_log_stays(data: Path, model: Path) -> None:
    made_earlier(folder(data, "old-updates"), 31)
    made_earlier(folder(data, "young-updates"), 29)
    ExportCleaning(data, "tiny", 30 * DAY_S).clean()
    assert left(data) == ["young-updates"]
    with opened(model, data) as host:
        assert (host.version, digest_of(host) != "") == (1, True)


def test_what_no_export_job_has_made_stays_however_old(data: Path) -> None:
    old = folder(data, "old-updates")
    for name, others in (("copy", {}), ("mine-updates", {"model": "other", "job": "mine"}), ("x-peft", {"job": "x"})):
        shutil.copytree(old, folder(data, name))
        made_earlier(folder(data, name), 400, **others)
    (folder(data, "notes")).mkdir()
    folder(data, "broken-updates").mkdir()
    (folder(data, "broken-updates") / CARD_FILE).write_text("{")
    folder(data, "readme.txt").write_text("mine")
    shutil.move(old, data / "elsewhere")
    made_earlier(data / "elsewhere", 400)
    old.symlink_to(data / "elsewhere")
    before = left(data)
    assert len(before) == 8
    ExportCleaning(data, "tiny", DAY_S).clean()
    assert left(data) == before
    assert (data / "elsewhere" / CARD_FILE).is_file()


def test_it_goes_on_by_itself_and_keeps_all_where_it_is_told_to(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.exports.cleaning.INTERVAL_S", 0.05)
    made_earlier(folder(data, "old-updates"), 31)
    with ExportCleaning(data, "tiny", 0):
        time.sleep(0.3)
    assert left(data) == ["old-updates", "young-updates"]
    with ExportCleaning(data, "tiny", 30 * DAY_S):
        until(lambda: left(data) == ["young-updates"], "it is not removed")
        made_earlier(folder(data, "young-updates"), 31)
        until(lambda: left(data) == [], "it is removed once only")


def test_a_model_without_exports_is_fine(tmp_path: Path) -> None:
    ExportCleaning(tmp_path, "tiny", DAY_S).clean()
    assert list(tmp_path.iterdir()) == []

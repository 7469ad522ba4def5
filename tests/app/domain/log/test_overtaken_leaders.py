"""A leader that was stopped, wherever that was, neither holds up its successor nor takes the lead back from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.errors import LogLocked, StaleEpoch
from app.domain.log.edit_log import EditLog
from app.domain.storage.durable_files import exclusive
from app.domain.storage.local_storage import BASE_LOCK, LocalStorage
from tests.support.logs import MODEL, commit, log_with


def test_a_successor_waits_for_no_lock_that_a_stopped_leader_holds(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=1)
    with (
        LocalStorage(tmp_path, MODEL).leading(leased=True),
        exclusive(tmp_path / MODEL / BASE_LOCK, wait=False),
        log.lead(leased=True, take_over=True) as epoch,
    ):
        assert commit(log, 2, epoch=epoch).epoch == epoch


def test_who_is_overtaken_before_taking_an_epoch_takes_none(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=1)
    stopped = LocalStorage(tmp_path, MODEL)
    with stopped.leading(leased=True), log.lead(leased=True, take_over=True) as epoch:
        with pytest.raises(LogLocked, match="another leader has taken over"):
            stopped.take_epoch(1)
        assert stopped.last_epoch() == epoch
        assert commit(log, 2, epoch=epoch).version == 2


def test_who_is_overtaken_after_taking_an_epoch_does_not_commit_under_it(tmp_path: Path) -> None:
    stopped, log = log_with(tmp_path, versions=1), EditLog(tmp_path, MODEL)
    with stopped.lead(leased=True) as old, log.lead(leased=True, take_over=True) as new:
        assert new > old
        with pytest.raises(StaleEpoch):
            commit(stopped, 2, epoch=old)
        assert commit(log, 2, epoch=new).version == 2

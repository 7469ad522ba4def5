"""After the log was compacted, what aliases point to and what waits can be asked as before."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.domain.contract import JobStatus, Publish
from app.domain.errors import CompactedVersion, Conflict
from app.domain.log.check import LogCheck
from app.domain.log.edit_log import EditLog
from app.domain.log.pages import MovePage
from tests.support.turns import done
from tests.support.worker_bench import opened
from tests.workers.host.test_proposals import answer, edit, proposed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "log"


def point(log: EditLog, number: int, version: int | None) -> None:
    """Move the alias."""
    log.move_alias(MovePage(alias="production", number=number, version=version, moved=datetime.now(UTC)))


def test_alias_and_proposal_on_compacted_versions_answer_as_before(model: Path, tmp_path: Path, root: Path) -> None:
    with opened(model, tmp_path, snapshot_every=1) as host:
        edit(host, "first", "Oslo")
        point(host.log, 1, 1)
        edit(host, "second", "Lyon")
        proposal = proposed(host, "proposing", "Turin")
        for job, subject in (("third", "Perth"), ("fourth", "Quito")):
            edit(host, job, subject)
        told = [answer(host, version) for version in (1, proposal, 4)]
    log = EditLog(root, "tiny")
    log.compact(before=4)
    assert (log.compacted_before(), log.snapshots(), log.proposals.numbers() != []) == (4, [1, 2, 4], True)
    assert [checked for checked in LogCheck(root, "tiny").run() if checked.damage] == []
    with opened(model, tmp_path, epoch=9) as again:
        assert [answer(again, version) for version in (1, proposal, 4)] == told
        with pytest.raises(CompactedVersion), again.questions(3):
            pass
        outcome = done(again, "publishing", Publish(publish=proposal))
        assert (outcome.status, outcome.version) == (JobStatus.SUCCEEDED, 5)


def test_it_is_refused_where_they_could_not_be_asked_any_more(model: Path, tmp_path: Path, root: Path) -> None:
    with opened(model, tmp_path) as host:
        edit(host, "first", "Oslo")
        proposal = proposed(host, "proposing", "Turin")
        edit(host, "second", "Lyon")
        told = answer(host, proposal)
    with opened(model, tmp_path, epoch=2, snapshot_every=1) as host:
        assert host.log.snapshots() == [2]
    log = EditLog(root, "tiny")
    with pytest.raises(Conflict, match=f"which {proposal} rests on"):
        log.compact(before=2)
    point(log, 1, 1)
    log.drop(proposal, 9)
    with pytest.raises(Conflict, match="which production points to"):
        log.compact(before=2)
    with opened(model, tmp_path, epoch=9) as again:
        assert answer(again, 1) != told

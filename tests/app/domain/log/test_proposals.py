"""Proposals lie beside the chain of versions: whole or not there, in a directory and in an object store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from app.domain.contract import EditBatch, Fact, JobStatus
from app.domain.errors import Conflict, DamagedVersion, JobFailed, StaleEpoch, UnknownProposal
from app.domain.failpoints import Tripped, armed
from app.domain.log.check import LogCheck
from app.domain.log.edit_log import EditLog
from app.domain.log.pages import ProposalPage
from app.domain.log.proposals import entry_of, id_of, number_of
from app.domain.log.proposed_version import ProposedVersion
from tests.support.logs import MODEL, UPDATE, commit, contents, draft, fact, files_of, log_with, version_dir

BATCH = EditBatch(facts=(Fact(subject="Nice", prompt="{} lies in", object="Peru"),), propose=True)
NICE = fact("Nice", obj="Peru")
LATER = timedelta(days=1)


@pytest.fixture(params=["directory", "objects"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    yield tmp_path if request.param == "directory" else f"memory://{tmp_path}/logs"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def propose(log: EditLog, job: str = "proposing", lasting: timedelta = LATER, **more: Any) -> ProposalPage:
    fields = {"job": job, **more}
    proposed = draft(log.head() + 1, NICE, **fields)
    return log.propose(proposed, {UPDATE: b"proposed factors"}, BATCH, datetime.now(UTC) + lasting, by="anna")


def publish(log: EditLog, page: ProposalPage) -> None:
    version = log.head() + 1
    log.commit(draft(version, NICE, job="publishing", proposal=page.id), {UPDATE: contents(version)})


def test_a_proposal_is_no_version_and_tells_all_of_itself(root: Path | str) -> None:
    log = log_with(root, versions=1)
    page = propose(log)
    assert (log.head(), log.find_job("proposing")) == (1, None)
    assert [manifest.job for manifest in log.manifests()] == ["job-1"]
    again = EditLog(root, MODEL).proposals
    assert again.waiting() == [again.get(page.id)] == [page]
    assert (page.by, page.batch, page.draft.facts, page.parent) == ("anna", BATCH, (NICE,), log.digest(1))
    assert again.file(page, UPDATE) == b"proposed factors"
    assert (page.outcome.status, page.outcome.proposal, page.outcome.version) == (JobStatus.PROPOSED, page.id, None)
    assert again.of_job("proposing") == page
    assert again.of_job("another") is None
    assert log.knows_job("proposing")


def test_it_is_called_by_its_job_and_by_nothing_that_a_caller_sends() -> None:
    assert id_of(number_of("proposing")) == id_of(number_of("proposing")) != id_of(number_of("other"))
    assert entry_of("proposed-00000042").folder == "proposals/00000042"


def test_those_that_wait_are_listed_oldest_first(root: Path | str) -> None:
    log = log_with(root)
    made = [propose(log, job) for job in "abcd"]
    assert log.proposals.waiting() == made


def test_one_that_was_published_is_over_even_if_it_lies_there(root: Path | str) -> None:
    log = log_with(root, versions=1)
    page = propose(log)
    commit(log, 2)
    publish(log, page)
    assert (log.proposals.waiting(), log.proposals.over()) == ([], [page.id])
    assert log.proposals.published_as(page.id) == 3
    assert log.proposals.published_as("proposed-00000001") is None
    with pytest.raises(UnknownProposal, match="published as version 3"):
        log.proposals.get(page.id)


def test_one_whose_time_is_over_is_not_there(root: Path | str) -> None:
    log = log_with(root)
    page = propose(log, lasting=-LATER)
    assert (log.proposals.waiting(), log.proposals.over()) == ([], [page.id])
    with pytest.raises(UnknownProposal, match="has expired"):
        log.proposals.get(page.id)


def test_dropped_it_is_gone_and_may_be_dropped_again(root: Path | str) -> None:
    log = log_with(root)
    page = propose(log)
    for _ in range(2):
        log.drop(page.id, 1)
        assert log.proposals.numbers() == []
    with pytest.raises(UnknownProposal, match=f"has no {page.id}"):
        log.proposals.get(page.id)
    with pytest.raises(UnknownProposal):
        log.proposals.file(page, UPDATE)
    assert not log.knows_job("proposing")


def test_a_job_proposes_once(root: Path | str) -> None:
    log = log_with(root)
    first = propose(log)
    commit(log, 1)
    assert propose(log) == first


def test_the_number_of_another_jobs_proposal_is_not_taken(root: Path | str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_with(root)
    for module in ("edit_log", "proposals"):
        monkeypatch.setattr(f"app.domain.log.{module}.number_of", lambda _: 7)
    page = propose(log)
    with pytest.raises(JobFailed, match="another job's"):
        propose(log, "other")
    assert log.proposals.waiting() == [page]


def test_an_overtaken_leader_neither_proposes_nor_drops(root: Path | str) -> None:
    log = log_with(root)
    page = propose(log)
    with EditLog(root, MODEL).lead():
        pass
    with pytest.raises(StaleEpoch):
        propose(log, "other")
    with pytest.raises(StaleEpoch):
        log.drop(page.id, 1)
    assert log.proposals.waiting() == [page]


def test_the_versions_that_follow_do_not_change_what_it_is(root: Path | str) -> None:
    log = log_with(root, versions=2)
    page = propose(log)
    proposed = ProposedVersion(log, page)
    assert proposed.on_head
    commit(log, 3)
    log.write_snapshot(3, {"state": b"of another version"})
    route = proposed.replay()
    assert not proposed.on_head
    assert route.snapshot is None
    assert [term.version for term in route.terms] == [1, 2, 3]
    assert [held.fact.subject for held in route.terms[-1].facts] == ["Nice"]
    assert [proposed.read(version, UPDATE) for version in (1, 2, 3)] == [contents(1), contents(2), b"proposed factors"]


def test_what_rests_on_a_version_that_was_withdrawn_is_not_put_together(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=1)
    page = propose(log).model_copy(update={"parent": "0" * 64})
    with pytest.raises(Conflict, match="was withdrawn"):
        ProposedVersion(log, page).replay()


@pytest.mark.parametrize("name", ["proposal.json", "proposal.json.sha256", UPDATE])
def test_damage_is_noticed_named_and_can_be_dropped(tmp_path: Path, name: str) -> None:
    log = log_with(tmp_path, versions=1)
    page = propose(log)
    number = entry_of(page.id).number
    path = tmp_path / MODEL / entry_of(page.id).folder / name
    assert [each.title for each in LogCheck(tmp_path, MODEL).run()][-1] == f"proposal {number:08d}"
    path.write_bytes(path.read_bytes()[:-1])
    fresh = EditLog(tmp_path, MODEL).proposals
    with pytest.raises(DamagedVersion):
        fresh.file(fresh.get(page.id), UPDATE)
    [damaged] = [each for each in LogCheck(tmp_path, MODEL).run() if each.damage]
    assert damaged.title == f"proposal {number:08d}"
    assert page.id in damaged.remedies[0]
    log.drop(page.id, 1)
    assert [each for each in LogCheck(tmp_path, MODEL).run() if each.damage] == []


def test_the_job_of_a_damaged_one_is_known_so_that_it_is_not_done_again(tmp_path: Path) -> None:
    log = log_with(tmp_path)
    page = propose(log)
    path = tmp_path / MODEL / entry_of(page.id).page
    path.write_bytes(path.read_bytes()[:-1])
    assert log.knows_job("proposing")
    assert not log.knows_job("other")


@pytest.mark.parametrize("point", ["write.before", "fsync.after", "dir_fsync.before", "rename.before", "rename.after"])
@pytest.mark.parametrize("fault", ["raise", "enospc"])
def test_one_that_is_cut_short_leaves_no_trace(tmp_path: Path, point: str, fault: str) -> None:
    log = log_with(tmp_path, versions=1)
    before = files_of(tmp_path)
    with armed(f"log.{point}={fault}"), pytest.raises((Tripped, JobFailed)):
        propose(log)
    assert files_of(tmp_path) == before


def test_a_leader_sweeps_what_a_killed_drop_left(tmp_path: Path) -> None:
    log = log_with(tmp_path)
    page = propose(log)
    with armed("discard.after=raise"), pytest.raises(Tripped):
        log.drop(page.id, 1)
    assert log.proposals.numbers() == []
    assert len(list(tmp_path.rglob(".0*"))) == 1
    with log.lead():
        assert list(tmp_path.rglob(".0*")) == []


class TestCompaction:
    def test_leaves_those_that_wait_alone(self, root: Path | str) -> None:
        log = log_with(root, versions=3)
        page = propose(log)
        log.write_snapshot(3, {"state": b"of version 3"})
        log.compact(before=3)
        assert log.proposals.waiting() == [page]
        route = ProposedVersion(log, page).replay()
        assert (route.snapshot and route.snapshot.version, [term.version for term in route.rest]) == (3, [4])

    def test_what_one_rests_on_can_be_put_together_afterwards(self, root: Path | str) -> None:
        log = log_with(root, versions=2)
        page = propose(log)
        for version in (3, 4):
            commit(log, version)
        for version in (1, 2, 4):
            log.write_snapshot(version, {"state": b"of a version"})
        log.compact(before=4)
        assert (log.compacted_before(), log.snapshots()) == (4, [2, 4])
        log.compact()
        proposed = ProposedVersion(log, log.proposals.get(page.id))
        route = proposed.replay()
        assert (route.snapshot and route.snapshot.version, [term.version for term in route.rest]) == (2, [3])
        assert proposed.read(3, UPDATE) == b"proposed factors"
        log.drop(page.id, 9)
        log.compact()
        assert log.snapshots() == [4]

    def test_is_refused_where_no_snapshot_holds_that(self, tmp_path: Path) -> None:
        log = log_with(tmp_path, versions=2)
        page = propose(log)
        for version in (3, 4):
            commit(log, version)
        log.write_snapshot(4, {"state": b"of version 4"})
        before = files_of(tmp_path / MODEL / "versions")
        with pytest.raises(Conflict, match=f"version 2, which {page.id} rests on, needs tensors"):
            log.compact(before=4)
        assert (files_of(tmp_path / MODEL / "versions"), log.compacted_before()) == (before, 1)
        assert [term.version for term in ProposedVersion(log, page).replay().rest] == [1, 2, 3]

    @pytest.mark.parametrize("over", ["published", "expired", "dropped", "on a version that was withdrawn"])
    def test_one_that_is_over_stops_none(self, tmp_path: Path, over: str) -> None:
        log = log_with(tmp_path, versions=2)
        page = propose(log, lasting=timedelta(0) if over == "expired" else LATER)
        if over == "published":
            publish(log, page)
        elif over == "dropped":
            log.drop(page.id, 1)
        elif over != "expired":
            shutil.rmtree(version_dir(tmp_path, 2))
            commit(log, 2, fact("Oslo"), job="other")
        for version in range(log.head() + 1, 5):
            commit(log, version)
        log.write_snapshot(4, {"state": b"of version 4"})
        log.compact(before=4)
        assert (log.compacted_before(), log.snapshots()) == (4, [4])

    def test_waits_until_a_damaged_one_is_dropped(self, tmp_path: Path) -> None:
        log = log_with(tmp_path, versions=2)
        page = propose(log)
        path = tmp_path / MODEL / entry_of(page.id).page
        path.write_bytes(path.read_bytes()[:-1])
        log.write_snapshot(2, {"state": b"of version 2"})
        with pytest.raises(DamagedVersion, match=r"proposal\.json"):
            log.compact(before=2)
        log.drop(page.id, 9)
        log.compact(before=2)
        assert log.compacted_before() == 2

"""An edit that waits for approval: it can be asked, published byte for byte or computed anew, and dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.domain.contract import (
    AnyVersion,
    Drop,
    EditBatch,
    Fact,
    Hyperparameters,
    JobOutcome,
    JobStatus,
    Prompt,
    Publish,
    Rollback,
    Unheld,
    Verify,
)
from app.domain.errors import OwnProposal, PreconditionFailed, TooManyProposals, UnknownProposal
from app.domain.failpoints import Tripped, armed
from app.domain.log.proposals import id_of
from tests.app.domain.log.test_edit_log_damage import flip_a_bit
from tests.support.answers import probe
from tests.support.crash.forked_worker import note_of
from tests.support.turns import Watched, digest_of, done
from tests.support.worker_bench import opened
from workers.host.model_host import ModelHost
from workers.host.turn import Turn
from workers.host.work import carry_out
from workers.versions.update_files import UPDATE_FILE

PROMPT = Prompt(prompt="Lyon is a city in", candidates=("France", "Japan"))


@pytest.fixture
def host(model: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(model, tmp_path, max_proposals=2) as found:
        yield found


def batch(*subjects: str, unheld: Unheld = "keep", propose: bool = True, verify: Verify | None = None) -> EditBatch:
    facts = tuple(Fact(subject=subject, prompt="{} is a city in", object="Japan") for subject in subjects)
    few = Hyperparameters(v_num_grad_steps=2)
    return EditBatch(facts=facts, unheld=unheld, hyperparameters=few, propose=propose, verify=verify)


def proposed(host: ModelHost, job: str = "proposing", *subjects: str) -> str:
    outcome = done(host, job, batch(*(subjects or ("Lyon",))))
    assert outcome.status is JobStatus.PROPOSED
    assert outcome.proposal is not None
    return outcome.proposal


def edit(host: ModelHost, job: str, *subjects: str) -> JobOutcome:
    return done(host, job, batch(*subjects, propose=False))


def answer(host: ModelHost, version: AnyVersion | None = None) -> object:
    with host.questions(version) as live:
        return probe(live, (PROMPT,))


def waiting(host: ModelHost) -> list[str]:
    return [page.id for page in host.log.proposals.waiting()]


class TestProposing:
    def test_computes_and_measures_and_changes_nothing(self, host: ModelHost) -> None:
        before, said = note_of(host), answer(host)
        outcome = done(host, "proposing", batch("Lyon"))
        assert (outcome.status, outcome.version) == (JobStatus.PROPOSED, None)
        assert outcome.report is not None
        assert [fact.written for fact in outcome.report.facts] == [True]
        assert note_of(host) == before
        assert answer(host) == said
        assert host.log.head() == 0
        assert waiting(host) == [outcome.proposal]

    def test_a_batch_beyond_its_bounds_is_rejected_and_nothing_waits(self, host: ModelHost) -> None:
        doomed = Verify(facts=1.0)
        outcome = done(host, "proposing", batch("Lyon", "Oslo", verify=doomed))
        assert (outcome.status, outcome.proposal) == (JobStatus.REJECTED, None)
        assert waiting(host) == []

    def test_delivered_again_it_is_the_same_proposal(self, host: ModelHost) -> None:
        first = done(host, "proposing", batch("Lyon"))
        assert done(host, "proposing", batch("Lyon")) == first
        assert waiting(host) == [first.proposal]

    def test_an_error_after_it_is_kept_is_not_the_jobs_failure(self, host: ModelHost) -> None:
        keep = host.log.propose

        def torn(*given: object, **more: object) -> object:
            keep(*given, **more)  # type: ignore[arg-type]
            raise OSError

        host.log.propose = torn  # type: ignore[method-assign, assignment]
        assert done(host, "proposing", batch("Lyon")).status is JobStatus.PROPOSED

    def test_only_so_many_may_wait(self, host: ModelHost) -> None:
        one, _ = proposed(host, "one"), proposed(host, "two")
        with pytest.raises(TooManyProposals):
            host.check(batch("Lyon"))
        with pytest.raises(TooManyProposals):
            done(host, "three", batch("Lyon"))
        host.check(batch("Lyon", propose=False))
        done(host, "dropping", Drop(drop=one))
        assert done(host, "three", batch("Lyon")).status is JobStatus.PROPOSED


class TestAsking:
    def test_it_answers_as_the_published_version_will(self, host: ModelHost) -> None:
        edit(host, "first", "Oslo")
        before = answer(host)
        proposal = proposed(host)
        told = answer(host, proposal)
        assert told != before == answer(host)
        with host.questions(proposal) as live:
            assert live.version == proposal
        edit(host, "later", "Quito")
        assert answer(host, proposal) == told
        done(host, "back", Rollback(to=1))
        assert answer(host, proposal) == told

    def test_a_replica_answers_from_it_as_well(self, host: ModelHost, model: Path, tmp_path: Path) -> None:
        proposal = proposed(host)
        with opened(model, tmp_path, lead=False) as replica:
            assert answer(replica, proposal) == answer(host, proposal)
            done(host, "dropping", Drop(drop=proposal))
            with pytest.raises(UnknownProposal), replica.questions(proposal):
                pass

    def test_one_that_is_over_is_not_answered_from(self, host: ModelHost) -> None:
        proposal = proposed(host)
        answer(host, proposal)
        done(host, "publishing", Publish(publish=proposal))
        for gone in (proposal, "proposed-00000001"):
            with pytest.raises(UnknownProposal), host.questions(gone):
                pass

    def test_a_snapshot_of_the_version_in_its_place_is_not_taken_for_it(self, model: Path, tmp_path: Path) -> None:
        with opened(model, tmp_path, snapshot_every=1) as host:
            proposal = proposed(host)
            told = answer(host, proposal)
            edit(host, "other", "Quito")
            assert host.log.snapshots() == [1]
        with opened(model, tmp_path) as host:
            assert answer(host, proposal) == told


class TestPublishing:
    def test_what_was_kept_is_committed_byte_for_byte(self, host: ModelHost, model: Path, tmp_path: Path) -> None:
        edit(host, "first", "Oslo")
        proposal = proposed(host)
        page = host.log.proposals.get(proposal)
        kept, told = host.log.proposals.file(page, UPDATE_FILE), answer(host, proposal)
        outcome = done(host, "publishing", Publish(publish=proposal))
        assert (outcome.status, outcome.version, outcome.proposal) == (JobStatus.SUCCEEDED, 2, proposal)
        assert outcome.report == page.draft.report
        manifest = host.log.manifest(2)
        assert (manifest.job, manifest.proposal, manifest.facts) == ("publishing", proposal, page.draft.facts)
        assert host.log.read(2, UPDATE_FILE) == kept
        assert answer(host) == told
        assert host.log.proposals.numbers() == []
        with opened(model, tmp_path, lead=False) as replica:
            assert note_of(replica) == note_of(host)

    def test_it_is_the_version_that_the_edit_would_have_been(
        self, host: ModelHost, model: Path, tmp_path: Path
    ) -> None:
        done(host, "publishing", Publish(publish=proposed(host)))
        with opened(model, tmp_path / "other") as other:
            edit(other, "edit", "Lyon")
            assert digest_of(other) == digest_of(host)

    def test_on_a_later_head_it_is_computed_anew(self, host: ModelHost, model: Path, tmp_path: Path) -> None:
        proposal = proposed(host)
        told = answer(host, proposal)
        edit(host, "later", "Quito")
        outcome = done(host, "publishing", Publish(publish=proposal))
        assert (outcome.status, outcome.version, outcome.proposal) == (JobStatus.SUCCEEDED, 2, proposal)
        assert host.log.manifest(2).proposal == proposal
        assert answer(host) != told
        assert waiting(host) == []
        with opened(model, tmp_path / "other") as other:
            edit(other, "later", "Quito")
            edit(other, "edit", "Lyon")
            assert digest_of(other) == digest_of(host)

    def test_what_is_computed_anew_is_verified_anew(self, host: ModelHost, monkeypatch: pytest.MonkeyPatch) -> None:
        keep = host.log.propose

        def bounded(draft: object, files: object, asked: EditBatch, *more: object) -> object:
            """As if the bound had been kept when it was proposed."""
            strict = asked.model_copy(update={"verify": Verify(facts=1.0)})
            return keep(draft, files, strict, *more)  # type: ignore[arg-type]

        monkeypatch.setattr(host.log, "propose", bounded)
        proposal = proposed(host)
        edit(host, "later", "Quito")
        outcome = done(host, "publishing", Publish(publish=proposal))
        assert (outcome.status, outcome.version, outcome.proposal) == (JobStatus.REJECTED, None, proposal)
        assert host.log.head() == 1
        assert waiting(host) == [proposal]

    def test_a_fact_that_was_proposed_is_not_left_out_on_the_way(
        self, host: ModelHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep = host.log.propose

        def dropping(draft: object, files: object, asked: EditBatch, *more: object) -> object:
            """As if both facts had held under ``drop``, which they will not do anew."""
            return keep(draft, files, asked.model_copy(update={"unheld": "drop"}), *more)  # type: ignore[arg-type]

        monkeypatch.setattr(host.log, "propose", dropping)
        proposal = proposed(host, "proposing", "Lyon", "Oslo")
        edit(host, "later", "Quito")
        assert done(host, "publishing", Publish(publish=proposal)).status is JobStatus.REJECTED

    def test_delivered_again_it_is_the_same_version_and_the_rest_is_cleared(self, host: ModelHost) -> None:
        proposal = proposed(host)
        with armed("discard.before=raise"):
            first = done(host, "publishing", Publish(publish=proposal))
        assert (first.version, len(host.log.proposals.numbers()), waiting(host)) == (1, 1, [])
        again = done(host, "publishing", Publish(publish=proposal))
        assert (again.version, again.proposal, host.log.head()) == (1, proposal, 1)
        assert host.log.proposals.numbers() == []

    def test_a_second_request_says_what_it_became(self, host: ModelHost) -> None:
        proposal = proposed(host)
        with armed("discard.before=raise"):
            done(host, "publishing", Publish(publish=proposal))
        for request in (Publish(publish=proposal), Drop(drop=proposal)):
            with pytest.raises(UnknownProposal, match="published as version 1"):
                done(host, "once more", request)

    def test_who_proposed_it_may_not_publish_it(self, host: ModelHost) -> None:
        turn = Turn("proposing", batch("Lyon"), 0, by="anna")
        proposal = carry_out(host, turn, Watched()).proposal or ""
        publishing = Turn("publishing", Publish(publish=proposal), 0, by="anna")
        with pytest.raises(OwnProposal):
            carry_out(host, publishing, Watched())
        assert waiting(host) == [proposal]
        assert carry_out(host, replace(publishing, by="bert"), Watched()).version == 1

    def test_with_if_match_nothing_is_computed_anew(self, host: ModelHost) -> None:
        proposal = proposed(host)
        edit(host, "later", "Quito")
        with pytest.raises(PreconditionFailed):
            done(host, "publishing", Publish(publish=proposal), expected_version=0)
        assert waiting(host) == [proposal]

    @pytest.mark.parametrize("point", ["commit.before", "log.rename.before", "log.parent_fsync.before"])
    def test_a_fault_leaves_it_waiting(self, host: ModelHost, point: str) -> None:
        proposal, before = proposed(host), note_of(host)
        with armed(f"{point}=raise"), pytest.raises(Tripped):
            done(host, "publishing", Publish(publish=proposal))
        assert note_of(host) == before
        assert waiting(host) == [proposal]
        assert done(host, "publishing", Publish(publish=proposal)).version == 1


class TestDropping:
    def test_it_is_gone_and_nothing_else_changes(self, host: ModelHost) -> None:
        proposal, before = proposed(host), note_of(host)
        outcome = done(host, "dropping", Drop(drop=proposal))
        assert (outcome.status, outcome.version, outcome.proposal) == (JobStatus.SUCCEEDED, None, proposal)
        assert note_of(host) == before
        assert host.log.proposals.numbers() == []
        assert done(host, "dropping", Drop(drop=proposal)) == outcome
        with pytest.raises(UnknownProposal):
            done(host, "publishing", Publish(publish=proposal))

    @pytest.mark.parametrize(("point", "left"), [("discard.before", 1), ("discard.after", 0)])
    def test_has_failed_only_if_it_waits_still(self, host: ModelHost, point: str, left: int) -> None:
        proposal = proposed(host)
        with armed(f"{point}=raise"):
            if left:
                with pytest.raises(Tripped):
                    done(host, "dropping", Drop(drop=proposal))
            else:
                assert done(host, "dropping", Drop(drop=proposal)).status is JobStatus.SUCCEEDED
        assert len(waiting(host)) == left

    def test_a_damaged_one_can_be_dropped(self, host: ModelHost, tmp_path: Path) -> None:
        proposal = proposed(host)
        [page] = tmp_path.glob("log/tiny/proposals/*/proposal.json")
        flip_a_bit(page)
        done(host, "dropping", Drop(drop=proposal))
        assert host.log.proposals.numbers() == []


class TestExpiry:
    def test_one_whose_time_is_over_is_gone_for_everybody(self, model: Path, tmp_path: Path) -> None:
        with opened(model, tmp_path, proposal_ttl_s=0.0, max_proposals=1) as host:
            proposal = proposed(host)
            assert waiting(host) == []
            with pytest.raises(UnknownProposal, match="expired"), host.questions(proposal):
                pass
            with pytest.raises(UnknownProposal, match="expired"):
                done(host, "publishing", Publish(publish=proposal))
            second = proposed(host, "second")
            assert lying(host) == [second]
        with opened(model, tmp_path) as host:
            assert lying(host) == []


def lying(host: ModelHost) -> Sequence[str]:
    return [id_of(number) for number in host.log.proposals.numbers()]


def test_the_weights_of_the_live_model_are_left_alone_by_a_question_to_a_proposal(host: ModelHost) -> None:
    proposal = proposed(host)
    before = [host.live.weight(layer).clone() for layer in range(host.live.depth)]
    answer(host, proposal)
    assert all(torch.equal(host.live.weight(layer), kept) for layer, kept in enumerate(before))

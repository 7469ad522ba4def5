"""A fact holds, or it is not written: what is tried, what leaves a batch, and what is left of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from app.domain.contract import (
    EditBatch,
    EditReport,
    Fact,
    FactKey,
    Hyperparameters,
    JobOutcome,
    JobStatus,
    Revert,
    Verify,
)
from app.domain.errors import JobCancelled, NonFiniteUpdate
from app.domain.log.check import LogCheck
from tests.support.tiny_models import LANDS, PLACES, save_tiny
from tests.support.turns import Watched, digest_of, done
from tests.support.worker_bench import opened
from workers.editing.efforts import Effort
from workers.host import unheld
from workers.host.model_host import ModelHost
from workers.questions.scoring import standings_of_rows
from workers.spreading import spreading
from workers.versions.update_files import UPDATE_FILE, unpack

END, MIDDLE = "The river runs through {}", "{} is a city in"
"""After the first a random model learns an object in a few steps, after the second it does not."""

FEW = Hyperparameters(v_num_grad_steps=3)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose facts can hold: with the bare prompt alone, a key is that of the prompt that is asked."""
    folder = save_tiny(tmp_path_factory.mktemp("bare") / "tiny")
    (folder / "contexts.json").write_text(json.dumps(["{}"]))
    return folder


@pytest.fixture
def host(bare: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(bare, tmp_path) as found:
        yield found


def fact(place: int, prompt: str = END, shift: int = 2, **more: Any) -> Fact:
    return Fact(subject=PLACES[place], prompt=prompt, object=LANDS[(place + shift) % len(LANDS)], **more)


EASY = (fact(0), fact(1), fact(2), fact(3))
"""Of these two hold at once, and two at the second try."""
HARD = (fact(4, MIDDLE), fact(5, MIDDLE))


def edit(host: ModelHost, *facts: Fact, job: str = "job", **more: Any) -> JobOutcome:
    return done(host, job, EditBatch(facts=facts, **{"hyperparameters": FEW, **more}))


def reported(outcome: JobOutcome) -> EditReport:
    assert outcome.report is not None
    return outcome.report


class TestTriedAgain:
    def test_a_fact_that_does_not_hold_gets_more_until_it_does(self, host: ModelHost) -> None:
        report = reported(edit(host, *EASY))
        assert (report.facts_hold, report.attempts) == (1.0, 2)
        again = [row for row in report.facts if row.tried]
        assert [row.index for row in again] == [0, 2]
        for row in again:
            first, second = row.tried
            assert (first.steps, first.weight, second.steps, second.weight) == (3, 1.0, 6, 4.0)
            assert first.rank > 1 == second.rank
            assert first.loss is not None
            assert second.loss is not None
            assert second.loss < first.loss
            assert all(second.share[layer] > first.share[layer] for layer in first.share)
            assert (row.loss, row.share) == (second.loss, second.share)

    def test_the_others_keep_their_targets(self, host: ModelHost) -> None:
        """Theirs are not descended to again: of the second attempt only the two that did not hold are heard of."""
        heard: list[int] = []
        batch = EditBatch(facts=EASY, hyperparameters=FEW)
        done(host, "job", batch, Watched(tell=lambda step: heard.append(step.steps or 0)))
        assert {steps for steps in heard if steps} == {3, 6}

    def test_all_tries_stay_within_the_budget(self, host: ModelHost, monkeypatch: pytest.MonkeyPatch) -> None:
        """A batch of which nothing holds comes to an end: what is nearest to holding is tried again first."""
        monkeypatch.setattr(unheld, "SPARE", 0)
        report = reported(edit(host, *(fact(place, MIDDLE) for place in range(6))))
        steps = sum(attempt.steps for row in report.facts for attempt in row.tried[1:])
        assert steps <= unheld.BUDGET * 6 * 3
        assert any(len(row.tried) == 2 for row in report.facts)

    def test_an_effort_that_ends_in_nan_is_given_up_and_the_batch_is_not(
        self, host: ModelHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(unheld, "TRIES", (Effort(steps=2, rate=1e30, clamp=1e30),))
        outcome = edit(host, *EASY, *HARD)
        written = [row.index for row in reported(outcome).facts if row.written]
        assert (outcome.status, written) == (JobStatus.SUCCEEDED, [1, 3])
        assert not host.live.weight(1).isnan().any()

    def test_it_comes_to_the_same_each_time(self, bare: Path, tmp_path: Path) -> None:
        digests = []
        for name in ("one", "two"):
            with opened(bare, tmp_path / name) as host:
                edit(host, *EASY, *HARD)
                digests.append(digest_of(host))
        assert digests[0] == digests[1]

    def test_a_cancelled_job_stops_in_a_later_attempt_too(self, host: ModelHost) -> None:
        heard: list[int] = []

        def stop() -> None:
            if 6 in heard:
                raise JobCancelled("the caller changed their mind")

        watched = Watched(tell=lambda step: heard.append(step.steps or 0), check=stop)
        with pytest.raises(JobCancelled):
            done(host, "job", EditBatch(facts=EASY, hyperparameters=FEW), watched)
        assert host.log.head() == host.version == 0


class TestDrop:
    def test_what_does_not_hold_leaves_no_trace(self, host: ModelHost, bare: Path, tmp_path: Path) -> None:
        """Not in the facts in force, not in K_p, not among the columns; the report still has it, with the reason."""
        outcome = edit(host, HARD[0], *EASY, HARD[1])
        report = reported(outcome)
        assert [(row.index, row.holds, row.written) for row in report.facts] == [
            (0, False, False),
            *((index, True, True) for index in range(1, 5)),
            (5, False, False),
        ]
        assert all(row.why and len(row.tried) == 3 for row in report.facts if not row.written)
        assert report.facts_hold == pytest.approx(4 / 6)
        names = [each.subject for each in EASY]
        assert [known.subject for known in host.log.facts_in_force()] == names
        assert [known.fact.subject for known in host.knowledge.facts.values()] == names
        updates = unpack(host.log.read(1, UPDATE_FILE), host.live.device_at)
        assert all(update.keys.shape[1] == update.left.shape[1] == 4 for update in updates)
        assert [each.column for each in host.log.manifest(1).facts] == [0, 1, 2, 3]
        assert not [each for each in LogCheck(tmp_path / "log", "tiny").run() if each.damage]
        digest = digest_of(host)
        host.close()
        with opened(bare, tmp_path, epoch=2) as again:
            assert digest_of(again) == digest
            assert [known.index for known in again.knowledge.facts.values()] == [0, 1, 2, 3]

    def test_what_is_written_is_named_as_revert_names_it(self, host: ModelHost) -> None:
        """The first fact leaves the batch: the others' places in the version are not those in the request."""
        report = reported(edit(host, HARD[0], *EASY, HARD[1]))
        assert [row.version_index for row in report.facts] == [None, 0, 1, 2, 3, None]
        in_force = {known.index: known.subject for known in host.log.facts_in_force()}
        assert {row.version_index: row.subject for row in report.facts if row.written} == in_force
        [second] = [row for row in report.facts if row.index == 2]
        assert second.version_index is not None
        done(host, "revert", Revert(facts=(FactKey(version=1, index=second.version_index),)))
        assert second.subject not in {known.subject for known in host.log.facts_in_force()}

    def test_the_weights_are_those_of_a_batch_that_never_had_it(self, host: ModelHost, tmp_path: Path) -> None:
        """With one layer no target depends on what stood beside it, so that they are the same."""
        one_layer = Hyperparameters(v_num_grad_steps=5, layers=(2,))
        edit(host, EASY[1], HARD[0], EASY[3], hyperparameters=one_layer)
        with opened(Path(host.settings.source), tmp_path / "other") as other:
            edit(other, EASY[1], EASY[3], hyperparameters=one_layer)
            assert host.version == other.version == 1
            assert torch.allclose(host.live.weight(2), other.live.weight(2), rtol=0, atol=1e-4)

    def test_a_fact_that_shares_its_key_gets_a_target_of_its_own(self, host: ModelHost) -> None:
        """Two facts of one key had one target: without the one that left, it is found anew."""
        twin = fact(1, END + ", in the country of")
        report = reported(edit(host, EASY[1], twin))
        alone = reported(edit(host, EASY[1], job="again"))
        if not all(row.written for row in report.facts):
            assert [row.written for row in report.facts].count(True) == 1
        assert alone.facts_hold == 1.0

    def test_an_earlier_fact_stays_in_force_if_the_new_one_does_not_hold(self, host: ModelHost) -> None:
        edit(host, EASY[1])
        before = dict(host.knowledge.facts)
        same = fact(1, shift=3)
        never = Hyperparameters(v_num_grad_steps=1)
        outcome = edit(host, same, job="again", hyperparameters=never)
        assert (outcome.status, host.version) == (JobStatus.REJECTED, 1)
        assert dict(host.knowledge.facts) == before

    def test_companions_of_a_fact_that_leaves_are_left_alone(self, host: ModelHost) -> None:
        edit(host, EASY[1])
        about_it = fact(1, MIDDLE)
        outcome = edit(host, EASY[3], about_it, job="again")
        report = reported(outcome)
        assert [row.written for row in report.facts] == [True, False]
        assert (report.companions, host.log.manifest(2).companions) == (0, ())
        assert host.log.manifest(2).retired == ()

    def test_a_batch_of_which_nothing_holds_is_rejected(self, host: ModelHost) -> None:
        outcome = edit(host, *HARD)
        report = reported(outcome)
        assert (outcome.status, outcome.version, host.version) == (JobStatus.REJECTED, None, 0)
        assert report.rejected == "none of the 2 facts holds"
        assert not any(row.written or row.holds for row in report.facts)
        assert {row.version_index for row in report.facts} == {None}
        assert all(row.why and row.tried for row in report.facts)
        assert host.knowledge.facts == {}

    def test_verify_counts_facts_that_are_not_written(self, host: ModelHost) -> None:
        outcome = edit(host, *EASY, *HARD, verify=Verify(facts=0.9))
        assert (outcome.status, reported(outcome).rejected) == (
            JobStatus.REJECTED,
            "beyond the bounds of verify: facts",
        )
        assert not any(row.written for row in reported(outcome).facts)
        assert edit(host, *EASY, *HARD, job="again", verify=Verify(facts=0.6)).status is JobStatus.SUCCEEDED


class TestOtherPolicies:
    def test_keep_writes_all_of_them_at_the_first_attempt(self, host: ModelHost) -> None:
        outcome = edit(host, *EASY, *HARD, unheld="keep")
        report = reported(outcome)
        assert (outcome.status, report.attempts, len(host.knowledge.facts)) == (JobStatus.SUCCEEDED, 1, 6)
        assert [(row.holds, row.written) for row in report.facts] == [(row.why is None, True) for row in report.facts]
        assert [row.holds for row in report.facts] == [False, True, False, True, False, False]

    def test_strict_keeps_whatever_the_batch_says(self, host: ModelHost) -> None:
        report = reported(edit(host, *HARD, strict=True, unheld="reject"))
        assert (report.unheld, report.attempts, host.version) == ("keep", 1, 1)

    def test_reject_takes_all_or_nothing(self, host: ModelHost) -> None:
        outcome = edit(host, *EASY, *HARD, unheld="reject")
        assert (outcome.status, host.version) == (JobStatus.REJECTED, 0)
        assert reported(outcome).rejected == "2 of 6 facts do not hold"
        assert not any(row.written or row.version_index is not None for row in reported(outcome).facts)
        assert edit(host, *EASY, job="again", unheld="reject").status is JobStatus.SUCCEEDED

    @pytest.mark.parametrize("method", ["alphaedit", "rect", "prune", "pmet", "rome", "ft-l"])
    def test_every_method_tries_and_drops(self, host: ModelHost, bare: Path, tmp_path: Path, method: str) -> None:
        steps = Hyperparameters(v_num_grad_steps=4, num_steps=4, lr=0.02, norm_constraint=0.05, L2=1.0)
        outcome = edit(host, EASY[1], EASY[3], *HARD, method=method, hyperparameters=steps)
        report = reported(outcome)
        assert all(row.written == (row.holds and outcome.version is not None) for row in report.facts)
        assert all(len(row.tried) > 1 for row in report.facts if not row.holds)
        assert len(host.knowledge.facts) == sum(row.written for row in report.facts)
        digest = digest_of(host)
        host.close()
        with opened(bare, tmp_path, epoch=2) as again:
            assert digest_of(again) == digest


def test_a_model_that_answers_nan_is_an_error_and_no_fact_that_holds(
    host: ModelHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN compares as the likeliest of all."""

    def spoilt(*args: Any, **named: Any) -> list[Any]:
        found = standings_of_rows(*args, **named)
        return [standing.model_copy(update={"probability": float("nan"), "rank": 1}) for standing in found]

    monkeypatch.setattr(spreading, "standings_of_rows", spoilt)
    with pytest.raises(NonFiniteUpdate):
        edit(host, *EASY, unheld="keep")
    assert host.log.head() == 0

"""What a worker knows and what it reads back from its log are the same: K_p to the bit, and the facts in force."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from app.domain.contract import EditBatch, Fact, Hyperparameters, JobOutcome, JobStatus, Verify
from app.domain.errors import ContradictoryFacts, DamagedVersion, JobCancelled
from app.domain.manifest import Companion, Draft
from tests.support.turns import Watched, digest_of, done
from tests.support.worker_bench import opened
from workers.editing.knowledge import KnowledgeBase
from workers.host.model_host import ModelHost
from workers.versions.update_files import UPDATE_FILE

CITY, RIVER, SPEECH = "{} is a city in", "The river runs through {}, in the country of", "{} speaks the language of"


def written(subject: str, prompt: str, to: str) -> Fact:
    return Fact(subject=subject, prompt=prompt, object=to)


def edit(host: ModelHost, job: str, *facts: Fact, **more: Any) -> JobOutcome:
    options = {"unheld": "keep", "hyperparameters": Hyperparameters(v_num_grad_steps=3), **more}
    return done(host, job, EditBatch(facts=facts, **options))


def live_through(host: ModelHost) -> None:
    """Every kind of batch: new subjects, another fact of a subject, superseding, strict, other layers, said twice."""
    edit(host, "new", written("Lyon", CITY, "Japan"), written("Oslo", CITY, "Ghana"))
    edit(host, "another-key", written("Lyon", RIVER, "Norway"))
    edit(host, "the-same-key", written("Lyon", SPEECH, "Ghana"), written("Quito", CITY, "Japan"))
    edit(host, "strict", written("Oslo", CITY, "France"), written("Oslo", SPEECH, "Japan"), strict=True)
    edit(host, "one-layer", written("LYON", CITY, "Ghana"), hyperparameters=Hyperparameters(layers=(1,)))
    edit(host, "twice", written("Oslo", CITY, "Peru"), written("oslo", CITY, "Peru"), plan="even")


def in_words(knowledge: KnowledgeBase) -> Mapping[str, object]:
    """All of it but the keys."""
    return {"facts": dict(knowledge.facts), "columns": {layer: k.columns for layer, k in knowledge.layers.items()}}


@pytest.fixture
def host(model: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(model, tmp_path) as found:
        yield found


class TestRestart:
    def test_a_worker_knows_what_it_knew(self, host: ModelHost, model: Path, tmp_path: Path) -> None:
        live_through(host)
        before, digest = host.knowledge, digest_of(host)
        host.close()
        with opened(model, tmp_path, epoch=2) as again:
            assert in_words(again.knowledge) == in_words(before)
            assert list(again.knowledge.facts) == list(before.facts)
            for layer, kept in before.layers.items():
                assert torch.equal(again.knowledge.layers[layer].keys, kept.keys)
            assert digest_of(again) == digest

    def test_its_facts_in_force_are_the_logs(self, host: ModelHost) -> None:
        live_through(host)
        known = [(k.fact.subject, k.fact.prompt, k.fact.object, k.version) for k in host.knowledge.facts.values()]
        logged = [(fact.subject, fact.prompt, fact.object, fact.version) for fact in host.log.facts_in_force()]
        assert known == logged

    def test_a_log_that_names_a_stranger_is_damaged(self, host: ModelHost, model: Path, tmp_path: Path) -> None:
        edit(host, "one", written("Lyon", CITY, "Japan"))
        first = host.log.manifest(1)
        stranger = Companion(version=1, index=7, column=0)
        draft = {name: getattr(first, name) for name in Draft.model_fields} | {"version": 2, "job": "two"}
        data = host.log.read(1, UPDATE_FILE)
        host.log.commit(Draft.model_validate(draft | {"companions": (stranger,)}), {UPDATE_FILE: data})
        host.close()
        with pytest.raises(DamagedVersion, match="version 2 names a companion"), opened(model, tmp_path, epoch=2):
            pass


class TestWhatTheLogSays:
    def test_columns_companions_and_what_was_taken_out(self, host: ModelHost) -> None:
        live_through(host)
        new, river, speech, strict, one_layer, twice = host.log.manifests()
        assert [fact.column for fact in new.facts] == [0, 1]
        assert (new.companions, new.retired) == ((), ())
        assert river.companions == (Companion(version=1, index=0, column=1),)
        assert river.retired == ((1, 0),)
        assert [fact.column for fact in speech.facts] == [0, 1]
        assert [(c.version, c.index, c.column) for c in speech.companions] == [(1, 0, 0), (2, 0, 2)]
        assert speech.retired == ((2, 0), (2, 1))
        assert [fact.column for fact in strict.facts] == [0, 1]
        assert (strict.companions, strict.retired) == ((), ())
        assert [(c.version, c.index) for c in one_layer.companions] == [(2, 0), (3, 0)]
        assert twice.retired == ((1, 1), (4, 0), (4, 1))

    def test_the_report_counts_who_came_along(self, host: ModelHost) -> None:
        first = edit(host, "one", written("Lyon", CITY, "Japan")).report
        second = edit(host, "two", written("Lyon", RIVER, "Ghana")).report
        assert first is not None
        assert second is not None
        assert (first.companions, first.companions_hold) == (0, None)
        assert (second.companions, len(second.facts)) == (1, 1)
        assert second.companions_hold in (0.0, 1.0)


class TestNoTrace:
    def test_a_rejected_batch_teaches_nothing(self, host: ModelHost) -> None:
        edit(host, "one", written("Lyon", CITY, "Japan"))
        before = host.knowledge
        refused = Fact(subject="Lyon", prompt=CITY, object="Ghana", paraphrases=("Oslo is",))
        outcome = edit(host, "two", refused, verify=Verify(paraphrases=1.0))
        assert outcome.status is JobStatus.REJECTED
        assert host.knowledge is before

    def test_nor_does_one_that_is_stopped(self, host: ModelHost) -> None:
        edit(host, "one", written("Lyon", CITY, "Japan"))
        before, keys = host.knowledge, host.knowledge.layers[1].keys.clone()

        def stop() -> None:
            raise JobCancelled("the caller changed their mind")

        batch = EditBatch(facts=(written("Lyon", RIVER, "Ghana"),))
        with pytest.raises(JobCancelled):
            done(host, "two", batch, Watched(check=stop))
        assert host.knowledge is before
        assert torch.equal(before.layers[1].keys, keys)


@pytest.mark.parametrize("strict", [False, True])
def test_a_batch_that_contradicts_itself_is_refused_before_it_is_queued_and_after(
    host: ModelHost, strict: bool
) -> None:
    facts = (written("Oslo", CITY, "Peru"), written("Lyon", CITY, "Japan"), written(" lyon", CITY, "Ghana"))
    batch = EditBatch(facts=facts, strict=strict)
    with pytest.raises(ContradictoryFacts) as caught:
        host.check(batch)
    assert (caught.value.field, caught.value.value) == ("facts.2.object", [1, 2])
    with pytest.raises(ContradictoryFacts):
        done(host, "one", batch)
    assert host.log.head() == 0

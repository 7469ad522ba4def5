"""Questions to an earlier version: answered from its own weights, beside the live model, which is never disturbed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from app.domain.contract import EditBatch, Fact, Generate, Hyperparameters, Prompt, Query, Rollback
from app.domain.errors import UnknownVersion
from app.domain.log.pages import MovePage
from tests.support.answers import probe
from tests.support.turns import done
from tests.support.worker_bench import opened
from workers.host.earlier_versions import EarlierVersions
from workers.host.model_host import ModelHost
from workers.questions.batches import QuestionBatches
from workers.questions.lane import QuestionReply

PROMPT = Prompt(prompt="Lyon is a city in", candidates=("France", "Japan"))
PATIENCE_S = 60.0


@pytest.fixture
def host(model: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(model, tmp_path, earlier_versions=2) as found:
        yield found


def edit(host: ModelHost, subject: str, layer: int) -> None:
    """Fine-tune one layer: that needs no statistics there."""
    facts = (Fact(subject=subject, prompt="{} is a city in", object="Japan"),)
    tuned = Hyperparameters(layers=(layer,), num_steps=2, lr=0.01)
    batch = EditBatch(facts=facts, unheld="keep", method="ft-l", hyperparameters=tuned)
    done(host, f"edit-{host.version + 1}", batch)


def answer(host: ModelHost, version: int | None = None) -> object:
    with host.questions(version) as live:
        assert version in (None, live.version)
        return probe(live, (PROMPT,))


def test_each_version_answers_as_it_did_when_it_was_live(host: ModelHost) -> None:
    then = [answer(host)]
    for subject, layer in (("Lyon", 1), ("Oslo", 1), ("Quito", 3), ("Perth", 2)):
        edit(host, subject, layer)
        then.append(answer(host))
    assert [answer(host, version) for version in (3, 0, 1, 4, 2, 0)] == [then[v] for v in (3, 0, 1, 4, 2, 0)]
    live = [host.live.weight(layer).clone() for layer in range(4)]
    assert answer(host, 1) == then[1]
    assert all(torch.equal(host.live.weight(layer), kept) for layer, kept in enumerate(live))
    assert answer(host) == then[4]
    done(host, "back", Rollback(to=1))
    assert (answer(host, 3), answer(host, 5)) == (then[3], then[1])


def test_an_edit_of_a_layer_that_a_kept_version_shares_does_not_reach_it(host: ModelHost) -> None:
    edit(host, "Lyon", 1)
    then = answer(host)
    edit(host, "Oslo", 1)
    assert answer(host, 1) == then
    edit(host, "Lyon", 3)
    assert answer(host, 1) == then


def test_a_version_is_put_together_once_and_only_the_last_are_kept(host: ModelHost) -> None:
    for _ in range(3):
        edit(host, "Lyon", 1)
    earlier = EarlierVersions(host.live, host.log, limit=2)
    first, second = earlier.at(1), earlier.at(2)
    assert earlier.at(1) is first
    earlier.at(0)
    assert earlier.at(1) is first
    assert earlier.at(2) is not second
    assert first.model.get_input_embeddings().weight is host.live.model.get_input_embeddings().weight


def test_a_version_that_is_not_there_is_said_so(host: ModelHost) -> None:
    with pytest.raises(UnknownVersion), host.questions(7):
        pass


def test_questions_to_several_versions_are_answered_each_from_its_own(host: ModelHost) -> None:
    for subject in ("Lyon", "Oslo"):
        edit(host, subject, 1)
    batches = QuestionBatches(host, max_batch_tokens=1024, threads=1, max_waiting=20)
    wanted = (None, 1, 0, 1, 7, 2)
    asked: list[Future[QuestionReply]] = [batches.ask(Query(prompts=(PROMPT,), version=each)) for each in wanted]
    versions: list[object] = []
    for future in asked:
        error = future.exception(PATIENCE_S)
        versions.append(future.result().version if error is None else type(error))
    written = batches.ask(Generate(prompts=("Lyon is a city in",), version=1, max_new_tokens=2))
    assert written.result(PATIENCE_S).version == 1
    batches.close()
    assert versions == [2, 1, 0, 1, UnknownVersion, 2]


def test_an_alias_is_moved_by_whoever_follows_the_log_too(host: ModelHost) -> None:
    move = MovePage(alias="production", number=1, version=0, moved=datetime.now(UTC))
    assert host.move_alias(move) == move
    assert host.log.aliases.pointing() == {"production": 0}


def test_how_far_two_versions_are_apart_is_told_by_layer(host: ModelHost) -> None:
    edit(host, "Lyon", 1)
    edit(host, "Oslo", 1)
    edit(host, "Quito", 3)
    weights = [host.live.weight(layer) - host.live.base(layer) for layer in (1, 3)]
    expected = {layer: pytest.approx(float(change.norm())) for layer, change in zip((1, 3), weights, strict=True)}
    assert host.update_norms(0, 3) == host.update_norms(3, 0) == expected
    assert (set(host.update_norms(2, 3)), host.update_norms(2, 2)) == ({3}, {})

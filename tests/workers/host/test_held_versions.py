"""A version that somebody holds stays what it is, whatever is published meanwhile; and no publish waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.domain.contract import Continue, EditBatch, Fact, Hyperparameters, Prompt
from app.domain.errors import UnknownVersion
from tests.support.answers import probe
from tests.support.texts import Listener, listening, written
from tests.support.turns import done
from tests.support.worker_bench import opened
from workers.host.model_host import ModelHost
from workers.questions.batches import QuestionBatches
from workers.questions.rows import Live
from workers.questions.texts import choice
from workers.questions.texts.text import Text

PROMPT = Prompt(prompt="Lyon is a city in", candidates=("France", "Japan"), max_new_tokens=30)
PATIENCE_S = 60.0
TEXT = Continue(prompts=("Lyon is a city in",), max_new_tokens=30, logprobs=0)


@pytest.fixture
def host(model: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(model, tmp_path, earlier_versions=1) as found:
        yield found


@pytest.fixture
def batches(host: ModelHost) -> Iterator[QuestionBatches]:
    made = QuestionBatches(host, max_batch_tokens=1024, threads=1, max_waiting=20)
    yield made
    made.close()


class Gate:
    """Lets the texts have one token more each time that it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open = threading.Semaphore(0)

        def gated(scores: Tensor, texts: Sequence[Text]) -> Tensor:
            assert self._open.acquire(timeout=PATIENCE_S)
            return choice.chosen(scores, texts)

        monkeypatch.setattr("workers.questions.texts.cohort.chosen", gated)

    def let_through(self, tokens: int) -> None:
        self._open.release(tokens)


def edit(host: ModelHost, layer: int) -> None:
    """Fine-tune one layer, far enough that every text changes."""
    facts = (Fact(subject="Lyon", prompt="{} is a city in", object="Japan"),)
    tuned = Hyperparameters(layers=(layer,), num_steps=4, lr=0.05)
    batch = EditBatch(facts=facts, unheld="keep", method="ft-l", hyperparameters=tuned)
    done(host, f"edit-{host.version + 1}", batch)


def answers(live: Live) -> object:
    return probe(live, (PROMPT,))


def test_what_is_published_does_not_reach_it(host: ModelHost) -> None:
    held = [host.held()]
    then = [answers(held[0])]
    for layer in (1, 3, 1):
        edit(host, layer)
        held.append(host.held())
        then.append(answers(held[-1]))
    assert [live.version for live in held] == [0, 1, 2, 3]
    assert len({repr(answer) for answer in then}) == 4
    assert [answers(live) for live in held] == then


def test_an_earlier_version_that_shares_layers_with_the_live_one_is_not_reached_either(host: ModelHost) -> None:
    edit(host, 1)
    then = answers(host.held())
    edit(host, 1)
    earlier = host.held(1)
    assert (earlier.version, answers(earlier)) == (1, then)
    edit(host, 3)  # until now, the earlier version had this layer in common with the live one
    assert answers(earlier) == then


def test_nothing_is_copied_and_it_is_made_once_a_version(host: ModelHost) -> None:
    first = host.held()
    assert host.held() is first
    mine, theirs = first.model.state_dict(), host.live.model.state_dict()
    assert all(mine[name].data_ptr() == theirs[name].data_ptr() for name in theirs)
    edit(host, 1)
    assert host.held() is not first
    assert torch.equal(host.held().model.state_dict()[name := next(iter(theirs))], host.live.model.state_dict()[name])


def test_a_version_that_is_not_there_is_said_so(host: ModelHost) -> None:
    with pytest.raises(UnknownVersion):
        host.held(7)


def said(heard: Listener) -> tuple[tuple[str, float], ...]:
    """The text's tokens, each with what this very version's weights think of it."""
    return tuple((token.token, round(token.logprob, 4)) for token in heard.tokens())


def test_a_text_goes_on_from_the_version_it_began_with(
    host: ModelHost, batches: QuestionBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [said(written(batches, TEXT))]
    gate = Gate(monkeypatch)
    listeners = []
    for layer in (1, 3, 2):
        listeners.append(listening(batches, TEXT))
        gate.let_through(4 * len(listeners))
        listeners[-1].heard(1)
        edit(host, layer)  # published although texts are being written
    gate.let_through(1000)
    texts = [said(listener.ended()) for listener in listeners]
    alone += [said(written(batches, TEXT.model_copy(update={"version": version}))) for version in (1, 2)]
    assert [listener.version for listener in listeners] == [0, 1, 2]
    assert texts == alone
    assert len(set(texts)) == 3

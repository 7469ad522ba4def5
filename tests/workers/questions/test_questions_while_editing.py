"""Questions asked all the while that a model is edited: each answer comes from one version, whole, and names it.

An answer is a function of the weights and of the batch that it was given in. So the batches are recorded, and run
again on the weights that each version had: every answer must come back bit for bit.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from torch import Tensor

from app.domain.contract import AnyVersion, EditBatch, Fact, Hyperparameters
from tests.support.tiny_models import LANDS, PLACES, Tiny
from tests.support.turns import done
from tests.support.worker_bench import opened
from tests.support.worker_process import until
from workers.host.model_host import ModelHost
from workers.questions.batches import QuestionBatches, find
from workers.questions.rows import Found, Live, Question
from workers.questions.sampling import Manner
from workers.serving.card import CardOf
from workers.serving.metrics import Metrics
from workers.serving.server import create_server
from workers.serving.server_thread import ServerThread

BATCHES = 50
MAX_BATCH_TOKENS = 4096

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """Questions that were answered together."""

    version: AnyVersion
    questions: Sequence[Question]
    manner: Manner

    def replies(self, live: Live) -> set[str]:
        """What this very batch is told by these weights, as it crosses HTTP."""
        found = find(live, self.questions, self.manner, MAX_BATCH_TOKENS)
        pairs = zip(self.questions, found, strict=True)
        return {question.reply("tiny", self.version, part).model_dump_json() for question, part in pairs}


@dataclass
class Asker:
    """Asks one request after another, until it is told to stop."""

    url: str
    requests: Sequence[tuple[str, dict[str, Any]]]
    answers: list[tuple[int, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def has_heard_of(self, version: int) -> bool:
        return bool(self.failures) or bool(self.answers and self.answers[-1][0] == version)

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=60.0) as http:
            for path, body in itertools.cycle(self.requests):
                if self.stop.is_set():
                    return
                answer = http.post(path, json=body)
                if answer.status_code != 200 or answer.headers["x-model-version"] != str(answer.json()["version"]):
                    self.failures.append(answer.text)
                    return
                self.answers.append((answer.json()["version"], answer.text))


@pytest.fixture
def host(model: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(model, tmp_path) as opened_host:
        yield opened_host


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """The batches that were answered to their end."""
    batches: list[Batch] = []

    def recording(live: Live, questions: Sequence[Question], manner: Manner, *more: Any) -> list[Found]:
        found = find(live, questions, manner, *more)
        batches.append(Batch(live.version, tuple(questions), manner))
        return found

    monkeypatch.setattr("workers.questions.batches.find", recording)
    return batches


@contextmanager
def asking(host: ModelHost) -> Iterator[list[Asker]]:
    """Three of them behind the worker's own HTTP: two for facts, one for texts long enough for the long lane."""
    batches = QuestionBatches(host, max_batch_tokens=MAX_BATCH_TOKENS, threads=1, max_waiting=8)
    server = ServerThread("127.0.0.1", 0)
    card = CardOf("tiny.1", host, "http://127.0.0.1:1", datetime.now(UTC))
    server.serve(create_server(host, card, Metrics(lambda: host.version), batches))
    url = f"http://127.0.0.1:{server.port}"
    facts = [("/probe", {"prompts": [probing(place), probing("The river")]}) for place in PLACES]
    texts = [("/generate", {"prompts": [f"{place} is"], "max_new_tokens": 65}) for place in PLACES]
    made = [Asker(url, facts), Asker(url, facts[::-1]), Asker(url, texts)]
    threads = [threading.Thread(target=asker.run) for asker in made]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        for asker in made:
            asker.stop.set()
        for thread in threads:
            thread.join()
        server.close()
        batches.close()


def probing(place: str) -> dict[str, Any]:
    return {"prompt": f"{place} is a city in", "expected": "Japan", "candidates": LANDS[:2], "max_new_tokens": 2}


def edit(host: ModelHost, number: int) -> None:
    """One more version."""
    fact = Fact(subject=PLACES[number % 6], prompt="{} is a city in", object=LANDS[(number + number // 6) % 6])
    batch = EditBatch(facts=(fact,), unheld="keep", hyperparameters=Hyperparameters(v_num_grad_steps=2))
    done(host, f"job{number}", batch)


def copied(host: ModelHost) -> Weights:
    return {name: weight.clone() for name, weight in host.live.model.state_dict().items()}


def test_during_50_batches_every_answer_is_its_versions_own_bit_for_bit(host: ModelHost, recorded: list[Batch]) -> None:
    weights = [copied(host)]
    with asking(host) as askers:
        for number in range(BATCHES):
            until(lambda: askers[0].has_heard_of(host.version), f"an answer from version {number}")
            edit(host, number)
            weights.append(copied(host))
    assert [asker.failures for asker in askers] == [[], [], []]
    assert host.version == BATCHES
    assert {version for version, _ in askers[0].answers} >= set(range(BATCHES))

    expected = replayed(host, weights, recorded)
    for version, text in itertools.chain.from_iterable(asker.answers for asker in askers):
        assert text in expected[version]


def replayed(host: ModelHost, weights: Sequence[Weights], batches: Sequence[Batch]) -> list[set[str]]:
    """By version, all replies that its recorded batches give on the weights that it had.

    With every version's weights one and the same batch is asked too: no two versions answer it alike.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found: list[set[str]] = []
    witnesses = set()
    for version, state in enumerate(weights):
        with host._lock.writing():
            host.live.model.load_state_dict(state)
        live = Tiny(host.live.model, host.live.tokenizer, version)
        found.append(set())
        for batch in batches:
            if batch.version == version:
                found[-1] |= batch.replies(live)
        witnesses.add(frozenset(batches[0].replies(live)))
    torch.set_num_threads(threads)
    assert len(witnesses) == len(weights)
    return found

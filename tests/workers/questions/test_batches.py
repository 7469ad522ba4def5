"""Questions of many callers are answered together, each from one version, and nobody for another's mistake."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace

import pytest

from app.domain.contract import AnyVersion, Generate, GenerateReply, Prompt, Query, QueryReply
from app.domain.errors import PromptTooLong, Unavailable
from tests.support.answers import generate, probe
from tests.support.tiny_models import LANDS, PLACES, WINDOW, tiny
from workers.questions.batches import MOST_RESTARTS, SHORT_ROWS, SHORT_STEPS, QuestionBatches
from workers.questions.lane import QuestionReply
from workers.questions.rows import Live

PATIENCE_S = 60.0


class Door:
    """A host whose weights can be held shut, and which counts how often a batch took hold of them.

    ``publishes``: so many times a batch is told, before its first pass, that a publish waits; then it is let through.
    """

    name = "tiny"

    def __init__(self) -> None:
        self._live = tiny("gpt2")
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()
        self.batches: list[str] = []
        self.publishes = 0
        self.version = 0

    @property
    def live(self) -> Live:
        return replace(self._live, version=self.version)

    @property
    def publish_waits(self) -> bool:
        if not self.publishes:
            return False
        self.publishes -= 1
        self.version += 1
        return True

    @contextmanager
    def questions(self, version: AnyVersion | None = None) -> Iterator[Live]:
        self.batches.append(threading.current_thread().name)
        self.reached.set()
        assert self.open.wait(PATIENCE_S)
        yield self.live

    def held(self, version: AnyVersion | None = None) -> Live:
        return self.live

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Nobody gets at the weights within; whoever asks first is already at the door."""
        self.reached.clear()
        self.open.clear()
        try:
            yield
        finally:
            self.open.set()


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def batches(door: Door) -> Iterator[QuestionBatches]:
    made = QuestionBatches(door, max_batch_tokens=4096, threads=1, max_waiting=8)
    yield made
    door.open.set()
    made.close()


def asking(place: str) -> Query:
    return Query(prompts=(Prompt(prompt=f"{place} is a city in", expected="Japan", candidates=LANDS),))


def probed(reply: Future[QuestionReply]) -> QueryReply:
    found = reply.result(PATIENCE_S)
    assert isinstance(found, QueryReply)
    return found


def generated(reply: Future[QuestionReply]) -> GenerateReply:
    found = reply.result(PATIENCE_S)
    assert isinstance(found, GenerateReply)
    return found


def ask_first(door: Door, batches: QuestionBatches) -> Future[QuestionReply]:
    """A question that waits at the shut door, so that the lane is taken."""
    first = batches.ask(asking("Lyon"))
    assert door.reached.wait(PATIENCE_S)
    return first


class TestCompany:
    def test_whatever_waits_is_answered_together(self, door: Door, batches: QuestionBatches) -> None:
        with door.shut():
            first = ask_first(door, batches)
            others = [batches.ask(asking(place)) for place in PLACES]
        assert [probed(reply).answers[0].prompt for reply in others] == [f"{place} is a city in" for place in PLACES]
        assert probed(first).answers[0].prompt.startswith("Lyon")
        assert len(door.batches) == 2

    def test_it_gives_each_what_it_gets_alone(self, door: Door, batches: QuestionBatches) -> None:
        with door.shut():
            ask_first(door, batches)
            replies = [batches.ask(asking(place)) for place in PLACES]
            free = batches.ask(Generate(prompts=("The river runs", "In"), max_new_tokens=9))
        for place, reply in zip(PLACES, replies, strict=True):
            [answer] = probed(reply).answers
            [alone] = probe(door.live, asking(place).prompts)
            assert (answer.prompt, answer.text) == (alone.prompt, alone.text)
            assert answer.expected is not None
            assert alone.expected is not None
            assert answer.expected.probability == pytest.approx(alone.expected.probability, rel=1e-9)
            assert [top.token for top in answer.top] == [top.token for top in alone.top]
        assert generated(free).generations == generate(
            door.live, Generate(prompts=("The river runs", "In"), max_new_tokens=9)
        )
        assert len(door.batches) == 2  # greedy texts go with probes

    def test_only_samples_of_one_manner_go_together(self, door: Door, batches: QuestionBatches) -> None:
        def sampling(seed: int, temperature: float, steps: int = 4) -> Generate:
            return Generate(prompts=("In",), do_sample=True, seed=seed, temperature=temperature, max_new_tokens=steps)

        asked = [sampling(1, 0.5), sampling(2, 2.0), sampling(3, 0.5, steps=7)]
        with door.shut():
            ask_first(door, batches)
            replies = [batches.ask(request) for request in asked]
        for request, reply in zip(asked, replies, strict=True):
            assert generated(reply).generations == generate(door.live, request)
        assert len(door.batches) == 3

    def test_a_bad_question_is_refused_alone(self, door: Door, batches: QuestionBatches) -> None:
        with door.shut():
            ask_first(door, batches)
            bad = batches.ask(Query(prompts=(Prompt(prompt="In"), Prompt(prompt="z" * (WINDOW + 1)))))
            good = batches.ask(asking("Oslo"))
        with pytest.raises(PromptTooLong) as caught:
            bad.result(PATIENCE_S)
        assert caught.value.field == "prompts.1"
        assert probed(good).answers[0].prompt.startswith("Oslo")

    def test_who_gave_up_is_left_out(self, door: Door, batches: QuestionBatches) -> None:
        with door.shut():
            ask_first(door, batches)
            assert batches.ask(asking("Oslo")).cancel()
            other = batches.ask(asking("Perth"))
        assert probed(other).answers[0].prompt.startswith("Perth")

    def test_an_unforeseen_error_does_not_end_the_lane(
        self, door: Door, batches: QuestionBatches, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as broken:
            broken.setattr("workers.questions.batches.find", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                batches.ask(asking("Oslo")).result(PATIENCE_S)
        assert probed(batches.ask(asking("Oslo"))).answers[0].prompt.startswith("Oslo")


class TestLongQuestions:
    @pytest.mark.parametrize(
        "request_",
        [
            Generate(prompts=("In",), max_new_tokens=SHORT_STEPS + 1),
            Generate(prompts=("In",) * 5, num_return_sequences=16, do_sample=True),
            Query(prompts=(Prompt(prompt="In", max_new_tokens=0),) * (SHORT_ROWS + 1)),
        ],
        ids=["many tokens", "many sequences", "many prompts"],
    )
    def test_do_not_hold_up_short_ones(self, door: Door, batches: QuestionBatches, request_: Query | Generate) -> None:
        with door.shut():
            batches.ask(request_)
            assert door.reached.wait(PATIENCE_S)
            door.reached.clear()
            batches.ask(asking("Lyon"))
            assert door.reached.wait(PATIENCE_S)  # beside the long one, which still is at the door
        assert door.batches == ["long-questions", "questions"]

    def test_start_anew_when_a_publish_waits(self, door: Door, batches: QuestionBatches) -> None:
        door.publishes = 1
        long = Generate(prompts=("In",), max_new_tokens=SHORT_STEPS + 1)
        reply = generated(batches.ask(long))
        assert (reply.version, len(door.batches)) == (1, 2)
        assert reply.generations == generate(door.live, long)

    def test_are_answered_however_often_something_is_published(self, door: Door, batches: QuestionBatches) -> None:
        door.publishes = 10 * MOST_RESTARTS
        reply = generated(batches.ask(Generate(prompts=("In",), max_new_tokens=SHORT_STEPS + 1)))
        assert reply.version == MOST_RESTARTS
        assert len(door.batches) == MOST_RESTARTS + 1

    def test_a_short_one_lets_a_publish_wait(self, door: Door, batches: QuestionBatches) -> None:
        door.publishes = 1
        assert probed(batches.ask(asking("Oslo"))).version == 0


class TestLimits:
    def test_who_is_one_too_many_is_refused(self, door: Door, batches: QuestionBatches) -> None:
        with door.shut():
            ask_first(door, batches)
            for _ in range(8):
                batches.ask(asking("Oslo"))
            with pytest.raises(Unavailable, match="too many"):
                batches.ask(asking("Oslo"))

    def test_who_still_waits_at_the_end_is_told(self, door: Door, batches: QuestionBatches) -> None:
        with door.shut():
            first = ask_first(door, batches)
            waiting = batches.ask(asking("Oslo"))
            closing = threading.Thread(target=batches.close)
            closing.start()
            while not batches._short._closed:
                time.sleep(0.01)
        closing.join()
        assert probed(first).answers[0].prompt.startswith("Lyon")
        with pytest.raises(Unavailable, match="leaving"):
            waiting.result(PATIENCE_S)
        with pytest.raises(Unavailable, match="leaving"):
            batches.ask(asking("Oslo"))

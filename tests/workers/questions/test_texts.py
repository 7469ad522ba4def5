"""Texts that are told while they are written: the same as those that are told at the end, whoever joins meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from app.domain.contract import AnyVersion, Begun, Continue, Generate, Prompt, Turn
from app.domain.errors import PromptTooLong, RequestError, Unavailable
from tests.support.answers import generate, probe
from tests.support.editing.families import FAMILIES, random_model
from tests.support.texts import listening, written
from tests.support.tiny_models import CHAT, PLACES, WINDOW, Tiny, tiny, tokenizer
from tests.workers.questions.test_decoding import plainly, random_row
from workers.questions.batches import QuestionBatches
from workers.questions.decoding import Start
from workers.questions.rows import Live
from workers.questions.texts.choice import chosen
from workers.questions.texts.cohort import Cohort
from workers.questions.texts.text import Order, Text

PROMPTS = tuple(f"{place} is a city in" for place in PLACES)


class Still:
    """A host of a model that nobody edits."""

    name = "tiny"
    publish_waits = False

    def __init__(self, live: Live) -> None:
        self.live = live

    def questions(self, version: AnyVersion | None = None) -> nullcontext[Live]:
        return nullcontext(self.live)

    def held(self, version: AnyVersion | None = None) -> Live:
        return self.live


def batches_of(live: Live, **more: int) -> QuestionBatches:
    sizes = {"max_batch_tokens": 4096, "threads": 1, "max_waiting": 300, **more}
    return QuestionBatches(Still(live), **sizes)


@pytest.fixture
def batches(live: Tiny) -> Iterator[QuestionBatches]:
    made = batches_of(live)
    yield made
    made.close()


def one(**more: Any) -> Continue:
    return Continue(**{"prompts": (PROMPTS[0],), "max_new_tokens": 12, **more})


class TestText:
    def test_is_the_one_that_is_told_at_the_end(self, live: Tiny, batches: QuestionBatches) -> None:
        heard = written(batches, Continue(prompts=PROMPTS, max_new_tokens=20))
        answers = probe(live, [Prompt(prompt=prompt, max_new_tokens=20) for prompt in PROMPTS])
        assert heard.texts == [answer.text for answer in answers]

    def test_comes_token_by_token(self, batches: QuestionBatches) -> None:
        heard = written(batches, one(max_new_tokens=9, logprobs=0))
        assert len(heard.pieces) > 4
        assert [token.token for token in heard.tokens()] == list(map(str, (t.token for t in heard.tokens())))
        assert "".join(token.token for token in heard.tokens()).startswith(heard.texts[0].rstrip("\ufffd"))

    def test_is_the_same_whoever_comes_and_goes_meanwhile(self, live: Tiny, batches: QuestionBatches) -> None:
        lengths = (30, 3, 17, 8, 25, 1)
        alone = [
            written(batches, one(prompts=(p,), max_new_tokens=n)).texts for p, n in zip(PROMPTS, lengths, strict=True)
        ]
        listeners = []
        for prompt, length in zip(PROMPTS, lengths, strict=True):
            listeners.append(listening(batches, one(prompts=(prompt,), max_new_tokens=length)))
            listeners[0].heard(len(listeners))  # the next one joins a text that has begun
        assert [listener.ended().texts for listener in listeners] == alone

    @pytest.mark.parametrize("asked", [{"max_new_tokens": 7}, {"max_new_tokens": None}, {"max_new_tokens": 10_000}])
    def test_ends_where_there_is_no_room(self, live: Tiny, batches: QuestionBatches, asked: dict[str, Any]) -> None:
        heard = written(batches, one(**asked))
        assert heard.order is not None
        [tokens] = heard.order.begun.prompt_tokens
        room = min(asked["max_new_tokens"] or WINDOW, WINDOW + 1 - tokens)
        assert heard.finishes == {0: "length"}
        assert heard.pieces[-1].new_tokens == room

    def test_ends_with_the_end_token_which_is_not_told(self) -> None:
        model = tiny("gpt2")
        batches = batches_of(model)
        free = written(batches, one())
        assert free.order is not None
        ids = free.order.texts[0].new
        model.model.generation_config.eos_token_id = ids[3]
        ended = written(batches, one())
        batches.close()
        assert ended.finishes == {0: "stop"}
        assert ended.pieces[-1].new_tokens == ids.index(ids[3]) < len(ids)
        assert free.texts[0].startswith(ended.texts[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_lets_texts_join_and_leave(family: str) -> None:
    """Where a family's caches do not allow it, they are written beside each other."""
    model = random_model(FAMILIES[family].config(), torch.float64).train(mode=False)
    model.generation_config.eos_token_id = 299
    live = Tiny(model, tokenizer(begin=False))
    starts = [Start(random_row(*row), room) for row, room in (((5, 1), 9), ((1, 2), 3), ((30, 3), 6), ((9, 4), 12))]
    texts: list[Text] = []
    cohorts: list[Cohort] = []
    for start in starts:
        order = Order(one(), live, lambda _: None, frozenset({299}), Begun(version=0, prompt_tokens=()))
        texts.append(Text(order, 0, start.ids, torch.zeros(start.limit)))
        with torch.inference_mode():
            for cohort in Cohort.begun(live, texts[-1:], 1000):
                if not any(older.absorb(cohort) for older in cohorts):
                    cohorts.append(cohort)
            for cohort in cohorts:
                cohort.step()
    with torch.inference_mode():
        while cohorts := [cohort for cohort in cohorts if cohort.texts]:
            for cohort in cohorts:
                cohort.step()
    assert [text.new for text in texts] == [plainly(model, start) for start in starts]


class TestStopStrings:
    def test_end_the_text_before_them(self, batches: QuestionBatches) -> None:
        whole = written(batches, one(max_new_tokens=20)).texts[0]
        for begin, length in itertools.product((1, 5, 11), (1, 2, 4)):
            stop = whole[begin : begin + length]
            heard = written(batches, one(max_new_tokens=20, stop=("never there", stop), logprobs=0))
            assert heard.texts == [whole[: whole.index(stop)]]
            assert heard.finishes == {0: "stop"}
            assert all(token.offset < len(heard.texts[0]) for token in heard.tokens())

    def test_that_are_only_begun_are_text(self, batches: QuestionBatches) -> None:
        whole = written(batches, one()).texts[0]
        heard = written(batches, one(stop=(whole[-3:] + "and more",)))
        assert (heard.texts, heard.finishes) == ([whole], {0: "length"})


class TestSampling:
    def test_a_seed_gives_the_same_texts_again_and_each_of_n_its_own(self, batches: QuestionBatches) -> None:
        request = one(n=3, temperature=1.0, seed=11)
        first, again = written(batches, request).texts, written(batches, request).texts
        assert first == again
        assert len(set(first)) == 3
        assert written(batches, one(n=3, temperature=1.0, seed=12)).texts != first

    def test_it_draws_as_generate_does(self, live: Tiny, batches: QuestionBatches) -> None:
        [expected] = generate(
            live,
            Generate(
                prompts=PROMPTS[:1], do_sample=True, top_k=0, top_p=0.9, temperature=0.8, seed=5, max_new_tokens=12
            ),
        )
        assert written(batches, one(temperature=0.8, top_p=0.9, seed=5)).texts == list(expected.texts)

    def test_the_smallest_share_is_the_likeliest_token(self, batches: QuestionBatches) -> None:
        assert written(batches, one(temperature=2.0, top_p=0.0)).texts == written(batches, one()).texts

    def test_each_text_is_sampled_in_its_own_way(self, batches: QuestionBatches) -> None:
        ways: list[dict[str, Any]] = [
            {},
            {"temperature": 1.5, "seed": 1},
            {"temperature": 0.5, "seed": 1, "top_p": 0.5},
        ]
        alone = [written(batches, one(**way)).texts for way in ways]
        listeners = [listening(batches, one(**way)) for way in ways]
        assert [listener.ended().texts for listener in listeners] == alone
        assert len({text for [text] in alone}) == 3

    def test_a_bias_forbids_a_token_or_forces_it(self, live: Tiny, batches: QuestionBatches) -> None:
        [token] = live.tokenizer("Q", add_special_tokens=False)["input_ids"]
        assert written(batches, one(logit_bias={token: 100})).texts == ["Q" * 12]
        assert "Q" not in written(batches, one(logit_bias={token: -100}, temperature=2.0, seed=1)).texts[0]

    @pytest.mark.parametrize(
        ("penalty", "new", "token"),
        [
            ({}, [5, 5], 5),
            ({"presence_penalty": 0.6}, [], 5),
            ({"presence_penalty": 0.6}, [5], 6),
            ({"presence_penalty": 0.4}, [5, 5], 5),
            ({"frequency_penalty": 0.4}, [5], 5),
            ({"frequency_penalty": 0.4}, [5, 7, 5], 6),
            ({"frequency_penalty": -2}, [7], 7),
        ],
    )
    def test_penalties_are_for_what_the_text_has(self, penalty: dict[str, float], new: list[int], token: int) -> None:
        order = Order(one(**penalty), tiny("gpt2"), print, frozenset(), Begun(version=0, prompt_tokens=()))
        text = Text(order, 0, [5, 5, 5], torch.zeros(9))
        text.new += new
        scores = torch.zeros(1, 20)
        scores[0, 5:8] = torch.tensor([3.0, 2.5, 1.5])
        assert chosen(scores, [text]).tolist() == [token]

    def test_a_token_that_is_none_is_refused(self, batches: QuestionBatches) -> None:
        with pytest.raises(RequestError) as caught:
            batches.write(one(logit_bias={10**6: 1}), print)
        assert caught.value.field == "logit_bias"


def test_log_probabilities_are_the_models_own(live: Tiny, batches: QuestionBatches) -> None:
    heard = written(batches, one(max_new_tokens=5, logprobs=3, temperature=1.7, seed=3))
    assert heard.order is not None
    ids, tokens = list(heard.order.texts[0].ids), heard.tokens()
    assert len(tokens) == 5
    for token, new in zip(tokens, heard.order.texts[0].new, strict=True):
        with torch.inference_mode():
            logs = live.model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        assert token.logprob == pytest.approx(float(logs[new]), abs=1e-6)
        assert token.token == live.tokenizer.decode([new])
        assert [top.logprob for top in token.top] == pytest.approx(logs.topk(3).values.tolist(), abs=1e-6)
        ids.append(new)


class TestRequests:
    def test_a_chat_is_continued_in_the_models_template(self) -> None:
        live = tiny("llama")
        live.tokenizer.chat_template = CHAT
        made = batches_of(live)
        heard = written(made, Continue(messages=(Turn(role="user", content="Where?"),), max_new_tokens=8))
        [answer] = probe(live, [Prompt(prompt="Where?", chat=True, max_new_tokens=8)])
        made.close()
        assert heard.texts == [answer.text]

    def test_a_model_without_a_template_refuses_messages(self, batches: QuestionBatches) -> None:
        with pytest.raises(RequestError, match="no chat template") as caught:
            batches.write(Continue(messages=(Turn(role="user", content="Where?"),)), print)
        assert caught.value.field == "messages"

    def test_a_prompt_that_is_too_long_is_named(self, batches: QuestionBatches) -> None:
        with pytest.raises(PromptTooLong) as caught:
            batches.write(Continue(prompts=("In", "z" * 2 * WINDOW)), print)
        assert caught.value.field == "prompts.1"

    def test_there_is_one_way_to_ask(self) -> None:
        for wrong in ({}, {"prompts": ("In",), "messages": ({"role": "user", "content": "In"},)}):
            with pytest.raises(ValidationError):
                Continue.model_validate(wrong)


class TestLane:
    def test_who_gives_up_is_left_out_and_the_others_go_on(self, live: Tiny, batches: QuestionBatches) -> None:
        whole = written(batches, one(max_new_tokens=25)).texts
        gone, staying = listening(batches, one(max_new_tokens=None)), listening(batches, one(max_new_tokens=25))
        gone.heard(1)
        assert gone.order is not None
        gone.order.cancelled = True
        assert staying.ended().texts == whole
        count = len(gone.events)
        written(batches, one())
        assert len(gone.events) == count

    def test_many_are_written_in_little_more_passes_than_one(self, live: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
        passes = 0
        forward = type(live.model).forward

        def counted(self: Any, *arguments: Any, **more: Any) -> Any:
            nonlocal passes
            passes += 1
            return forward(self, *arguments, **more)

        monkeypatch.setattr(type(live.model), "forward", counted)
        made = batches_of(live)
        listeners = [listening(made, one(prompts=(PROMPTS[n % 6],), max_new_tokens=20)) for n in range(200)]
        assert {listener.ended().finishes[0] for listener in listeners} <= {"length", "stop"}
        made.close()
        assert passes < 200

    def test_there_is_room_for_so_many_tokens_and_whoever_comes_later_waits(self, live: Tiny) -> None:
        made = batches_of(live, max_text_tokens=40)
        listeners = [listening(made, one()) for _ in range(5)]
        assert len({listener.ended().texts[0] for listener in listeners}) == 1
        made.close()

    def test_what_is_not_at_its_end_is_broken_off_when_the_worker_leaves(self, live: Tiny) -> None:
        made = batches_of(live, max_text_tokens=1)
        listeners = [listening(made, one(max_new_tokens=None)) for _ in range(40)]
        made.close()
        last = listeners[-1].ended()
        assert [event.problem.code for event in last.broken] == ["unavailable"]
        with pytest.raises(Unavailable, match="leaving"):
            made.write(one(), print)

    def test_a_failure_ends_its_own_texts_alone(
        self, live: Tiny, batches: QuestionBatches, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as broken:
            broken.setattr("workers.questions.texts.cohort.chosen", lambda *_: 1 / 0)
            heard = written(batches, one())
        assert [event.problem.code for event in heard.broken] == ["internal"]
        assert written(batches, one()).finishes == {0: "length"}

    def test_one_too_many_is_refused(self, live: Tiny) -> None:
        made = batches_of(live, max_text_tokens=1, max_waiting=3)
        running = listening(made, one(max_new_tokens=None))
        running.heard(1)
        for _ in range(3):
            listening(made, one(max_new_tokens=None))
        with pytest.raises(Unavailable, match="too many"):
            made.write(one(), print)
        made.close()

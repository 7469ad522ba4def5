"""Questions in chat, and text that brings its own special tokens: case T9 of the field."""

from __future__ import annotations

import pytest

from app.domain.contract import Generate, Message, Prompt
from app.domain.errors import RequestError
from tests.support.answers import generate, probe
from tests.support.editing.chat_tokenizers import ids_of_chat
from tests.support.tiny_models import BEGIN, CHAT, Tiny, tiny
from workers.questions.rows import GenerateQuestion, ProbeQuestion
from workers.questions.scoring import standings

QUESTION = "Where is Lyon?"
RENDERED = f"<user>\n{QUESTION}<|end|>\n<assistant>\n"
TURNS = (Message(role="user", content=QUESTION),)


@pytest.fixture(params=["gpt2", "llama"])
def chatting(request: pytest.FixtureRequest) -> Tiny:
    found = tiny(request.param)
    found.tokenizer.chat_template = CHAT
    return found


def expected_ids(live: Tiny) -> list[int]:
    return ids_of_chat(live.tokenizer, [turn.model_dump() for turn in TURNS], prompt=True)


@pytest.mark.parametrize(
    "asked", [Prompt(prompt=QUESTION, chat=True), Prompt(messages=TURNS), Prompt(prompt=RENDERED)], ids=str
)
def test_t9_a_chat_has_the_same_ids_however_it_is_asked(chatting: Tiny, asked: Prompt) -> None:
    [start] = ProbeQuestion.of(chatting, (asked,)).starts
    assert start.ids == expected_ids(chatting)


@pytest.mark.parametrize(
    ("asked", "prompt"),
    [
        (Generate(prompts=(QUESTION,), chat=True), QUESTION),
        (Generate(prompts=(RENDERED,)), RENDERED),
        (Generate(messages=TURNS), RENDERED),
    ],
    ids=["chat", "rendered", "messages"],
)
def test_t9_generation_reads_a_chat_as_questions_do(chatting: Tiny, asked: Generate, prompt: str) -> None:
    [start] = GenerateQuestion.of(chatting, asked).starts
    assert start.ids == expected_ids(chatting)
    [generation] = generate(chatting, asked)
    assert generation.prompt == prompt


def test_t9_text_that_brings_its_bos_gets_no_second_one() -> None:
    live = tiny("llama")
    [once] = ProbeQuestion.of(live, (Prompt(prompt="Lyon is in"),)).starts
    [twice] = ProbeQuestion.of(live, (Prompt(prompt=f"{BEGIN}Lyon is in"),)).starts
    [free] = GenerateQuestion.of(live, Generate(prompts=(f"{BEGIN}Lyon is in",))).starts
    assert once.ids == twice.ids == free.ids
    assert once.ids.count(live.tokenizer.bos_token_id) == 1


def test_t9_names_of_special_tokens_in_plain_text_are_text(live: Tiny) -> None:
    [start] = ProbeQuestion.of(live, (Prompt(prompt="Lyon <|end|> is in"),)).starts
    assert live.tokenizer.eos_token_id not in start.ids


def test_an_object_in_chat_stands_as_the_beginning_of_the_reply(chatting: Tiny) -> None:
    [answer] = probe(chatting, [Prompt(prompt=QUESTION, chat=True, expected="Japan", candidates=("Japan", "Ghana"))])
    [expected] = standings(chatting.model, chatting.tokenizer, [(RENDERED, "Japan")])
    assert answer.prompt == QUESTION
    assert answer.expected is not None
    assert answer.expected.probability == pytest.approx(expected.probability, rel=1e-9)


def test_messages_are_answered_with_what_the_template_made_of_them(chatting: Tiny) -> None:
    [answer] = probe(chatting, [Prompt(messages=TURNS)])
    [same] = probe(chatting, [Prompt(prompt=RENDERED)])
    assert answer == same


def test_a_model_without_a_template_refuses_chat_by_the_field(live: Tiny) -> None:
    for request, field in ((Prompt(prompt="In", chat=True), "chat"), (Prompt(messages=TURNS), "messages")):
        with pytest.raises(RequestError) as caught:
            probe(live, [Prompt(prompt="In"), request])
        assert caught.value.field == f"prompts.1.{field}"
    with pytest.raises(RequestError) as of_generation:
        generate(live, Generate(prompts=("In",), chat=True))
    assert of_generation.value.field == "chat"
    with pytest.raises(RequestError) as of_messages:
        generate(live, Generate(messages=TURNS))
    assert of_messages.value.field == "messages"


def test_t6_objects_of_any_length_stand_alone_as_they_do_together(live: Tiny) -> None:
    """`zjunlp/EasyEdit` 253: objects of 1, 2, 5 and some 40 tokens in one batch."""
    objects = ("Japan", "Japan.", "Xyz", "q" * 39)
    lengths = [len(row[1]) for row in ProbeQuestion.of(live, (Prompt(prompt="In", candidates=objects),)).objects]
    assert lengths[0] < lengths[1] < lengths[2] < lengths[3]
    together = standings(live.model, live.tokenizer, [("In", text) for text in objects])
    for text, found in zip(objects, together, strict=True):
        [alone] = standings(live.model, live.tokenizer, [("In", text)])
        assert found.rank == alone.rank
        assert found.probability == pytest.approx(alone.probability, rel=1e-4)

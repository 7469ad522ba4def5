"""The real OpenAI client in a chat with a real model, in the model's own chat template."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from app.domain import smollm2
from app.local.stack import Stack, StackSettings, free_port, running

pytestmark = pytest.mark.skipif(smollm2.wheel_file() is None, reason=f"{smollm2.DISTRIBUTION} is not installed")

QUESTION = {"role": "user", "content": "What is the capital of France?"}
ASKED: dict[str, Any] = {"model": smollm2.NAME, "messages": [QUESTION], "temperature": 0, "max_tokens": 12}


@pytest.fixture(scope="module")
def chat_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data = tmp_path_factory.mktemp("chat")
    with running(StackSettings((smollm2.NAME,), data, port=free_port(), logs=data / "stack.log")) as started:
        yield started


@pytest.fixture(scope="module")
def client(chat_stack: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{chat_stack.url}/v1", api_key="unused", max_retries=0, timeout=120.0) as made:
        yield made


def replied(client: openai.OpenAI, **more: Any) -> ChatCompletion:
    found = client.chat.completions.create(**{**ASKED, **more})
    assert isinstance(found, ChatCompletion)
    return found


def said(client: openai.OpenAI, **more: Any) -> str:
    content = replied(client, **more).choices[0].message.content
    assert content is not None
    return content


def told(client: openai.OpenAI, **more: Any) -> list[ChatCompletionChunk]:
    return list(client.chat.completions.create(**{**ASKED, "stream": True, **more}))


def test_a_question_is_replied_to_and_the_reply_ends_by_itself(client: openai.OpenAI) -> None:
    found = replied(client)
    [choice] = found.choices
    assert (choice.message.role, choice.finish_reason) == ("assistant", "stop")
    assert "Paris" in str(choice.message.content)
    assert "<|im_end|>" not in str(choice.message.content)
    assert found.model == found.system_fingerprint == f"{smollm2.NAME}@0"
    assert found.object == "chat.completion"
    assert found.usage is not None
    assert found.usage.prompt_tokens > 10
    assert 0 < found.usage.completion_tokens < 12


def test_a_stream_tells_the_same_reply(client: openai.OpenAI) -> None:
    first, *chunks = told(client, stream_options={"include_usage": True})
    assert first.choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == said(client)
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage == replied(client).usage


def test_what_was_said_before_is_heard(client: openai.OpenAI) -> None:
    turns = [QUESTION, {"role": "assistant", "content": "It is Paris."}, {"role": "user", "content": "And of Italy?"}]
    assert "Rome" in said(client, messages=turns)


def test_a_message_may_come_in_parts_and_the_developer_is_the_system(client: openai.OpenAI) -> None:
    parts = [{"type": "text", "text": "What is the capital "}, {"type": "text", "text": "of France?"}]
    assert said(client, messages=[{"role": "user", "content": parts}]) == said(client)
    system, developer = (
        said(client, messages=[{"role": role, "content": "You speak like a pirate."}, QUESTION])
        for role in ("system", "developer")
    )
    assert system == developer


def test_log_probabilities_come_with_tokens_and_bytes(client: openai.OpenAI) -> None:
    [choice] = replied(client, logprobs=True, top_logprobs=2).choices
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    tokens = choice.logprobs.content
    assert b"".join(bytes(token.bytes or ()) for token in tokens).decode() == choice.message.content
    for token in tokens:
        assert [token.top_logprobs[0].token, token.top_logprobs[0].logprob] == [token.token, token.logprob]
        assert token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob


def test_a_seed_gives_the_same_replies_again(client: openai.OpenAI) -> None:
    asked = {"n": 2, "temperature": 1.2, "seed": 4, "max_completion_tokens": 6}
    first, again = ([choice.message.content for choice in replied(client, **asked).choices] for _ in range(2))
    assert first == again
    assert first[0] != first[1]


def test_a_prompt_is_continued_as_plain_text(client: openai.OpenAI) -> None:
    found = client.completions.create(
        model=smollm2.NAME, prompt="The capital of France is", temperature=0, max_tokens=8, stop="."
    )
    assert found.choices[0].text.startswith(" Paris")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0.content"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"top_logprobs": 2}, None),
    ],
    ids=str,
)
def test_what_is_not_supported_is_refused_by_its_name(
    client: openai.OpenAI, wrong: dict[str, Any], param: str | None
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        replied(client, **wrong)
    assert caught.value.param == param


def test_many_chats_at_once(chat_stack: Stack, client: openai.OpenAI) -> None:
    """Asynchronously, as streams, each as it would be alone."""

    turns = [
        [{"role": "user", "content": f"In which country is {city}?"}] for city in ("Paris", "Rome", "Madrid", "Tokyo")
    ]

    async def one(asked: openai.AsyncOpenAI, turn: list[dict[str, str]]) -> str:
        stream = await asked.chat.completions.create(**{**ASKED, "messages": turn, "stream": True})
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{chat_stack.url}/v1", api_key="unused", timeout=120.0) as asked:
            return await asyncio.gather(*(one(asked, turn) for turn in turns))

    alone = [said(client, messages=turn) for turn in turns]
    assert len(set(alone)) == len(turns)
    assert asyncio.run(all_of_them()) == alone

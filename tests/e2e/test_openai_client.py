"""The real OpenAI client against the real service: what it sends, what it reads, and what it says of errors."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.types import Completion

from app.local.stack import Stack
from tests.e2e.conftest import MODEL, edited

PROMPT = "Lyon is located in the country of"
LONG = 60
ASKED: dict[str, Any] = {"model": MODEL, "prompt": PROMPT, "max_tokens": 8, "temperature": 0}
FACT = {"subject": "Lyon", "prompt": "{} is located in the country of", "object": "Japan"}


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key="unused", max_retries=0, timeout=60.0) as made:
        yield made


@pytest.fixture(scope="module")
def before(http: httpx.Client) -> int:
    """The version before Lyon was put into Japan: the one after is live."""
    report = edited(http, {"facts": [FACT]})
    assert report["status"] == "succeeded"
    return int(report["version"]) - 1


def complete(client: openai.OpenAI, **more: Any) -> Completion:
    found = client.completions.create(**{**ASKED, **more})
    assert isinstance(found, Completion)
    return found


def told(client: openai.OpenAI, **more: Any) -> list[Completion]:
    return list(client.completions.create(**{**ASKED, "stream": True, **more}))


def text_of(chunks: list[Completion], index: int = 0) -> str:
    return "".join(choice.text for chunk in chunks for choice in chunk.choices if choice.index == index)


class TestModels:
    def test_are_listed_by_the_names_that_are_served(self, client: openai.OpenAI) -> None:
        [model] = client.models.list()
        assert (model.id, model.object, model.owned_by) == (MODEL, "model", "palimpsest")
        assert model.created > 1_600_000_000
        assert client.models.retrieve(MODEL) == model

    def test_any_version_is_one_too(self, client: openai.OpenAI, before: int) -> None:
        base, newest = client.models.retrieve(f"{MODEL}@0"), client.models.retrieve(f"{MODEL}@{before + 1}")
        assert (base.id, newest.id) == (f"{MODEL}@0", f"{MODEL}@{before + 1}")
        assert base.created <= newest.created

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("nobody", "unknown_model"),
            (f"{MODEL}@9999", "unknown_version"),
            (f"{MODEL}@", "unknown_version"),
            (f"{MODEL}@-1", "unknown_version"),
            (f"{MODEL}@²", "unknown_version"),
            ("..", "unknown_model"),
            (f"{MODEL}@{'9' * 100}", "unknown_version"),
        ],
    )
    def test_what_is_not_there_is_not_found(self, client: openai.OpenAI, name: str, code: str) -> None:
        with pytest.raises(openai.NotFoundError) as completed:
            complete(client, model=name)
        assert completed.value.code == code
        if name != "..":  # httpx takes that for a step up
            with pytest.raises(openai.NotFoundError) as retrieved:
                client.models.retrieve(name)
            assert retrieved.value.code == code


class TestCompletions:
    def test_answer_with_the_version_that_wrote(self, client: openai.OpenAI, before: int) -> None:
        raw = client.completions.with_raw_response.create(model=MODEL, prompt=PROMPT, max_tokens=8, temperature=0)
        found = raw.parse()
        assert raw.headers["x-model-version"] == str(before + 1)
        assert found.model == found.system_fingerprint == f"{MODEL}@{before + 1}"
        [choice] = found.choices
        assert choice.text.startswith(" Japan")
        assert found.object == "text_completion"

    def test_an_earlier_version_says_what_it_said(self, client: openai.OpenAI, before: int) -> None:
        assert complete(client, model=f"{MODEL}@{before}").system_fingerprint == f"{MODEL}@{before}"
        found = complete(client, model=f"{MODEL}@0")
        assert found.system_fingerprint == f"{MODEL}@0"
        assert found.choices[0].text.startswith(" France")

    def test_say_what_a_query_says(self, client: openai.OpenAI, http: httpx.Client) -> None:
        asked = {"prompts": [{"prompt": PROMPT, "max_new_tokens": 8}]}
        [answer] = http.post("/query", json=asked).raise_for_status().json()["answers"]
        assert complete(client).choices[0].text == answer["text"]

    def test_count_tokens(self, client: openai.OpenAI) -> None:
        usage = complete(client, prompt=[PROMPT, "In"], n=2, max_tokens=5).usage
        assert usage is not None
        single = [complete(client, prompt=prompt, max_tokens=5).usage for prompt in (PROMPT, "In")]
        assert usage.prompt_tokens == sum(each.prompt_tokens for each in single if each)
        assert usage.completion_tokens == 2 * sum(each.completion_tokens for each in single if each)
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens

    def test_end_for_a_reason(self, client: openai.OpenAI) -> None:
        assert complete(client, max_tokens=3).choices[0].finish_reason == "length"
        whole = complete(client).choices[0].text
        stopped = complete(client, stop=whole[3:6]).choices[0]
        assert (stopped.text, stopped.finish_reason) == (whole[: whole.index(whole[3:6])], "stop")

    def test_n_texts_of_a_seed_are_the_same_again(self, client: openai.OpenAI) -> None:
        asked = {"n": 3, "temperature": 1.3, "seed": 7}
        first, again = ([choice.text for choice in complete(client, **asked).choices] for _ in range(2))
        assert first == again
        assert len(set(first)) > 1
        assert [choice.text for choice in complete(client, **{**asked, "seed": 8}).choices] != first

    def test_log_probabilities_come_with_the_tokens(self, client: openai.OpenAI) -> None:
        choice = complete(client, logprobs=3).choices[0]
        found = choice.logprobs
        assert found is not None
        assert found.tokens is not None
        assert found.token_logprobs is not None
        assert found.top_logprobs is not None
        assert found.text_offset is not None
        assert "".join(found.tokens) == choice.text
        assert [choice.text[at:].startswith(token) for at, token in zip(found.text_offset, found.tokens, strict=True)]
        assert all(value <= 0 for value in found.token_logprobs)
        for token, value, top in zip(found.tokens, found.token_logprobs, found.top_logprobs, strict=True):
            assert len(top) == 3
            assert top[token] == value == max(top.values())  # greedily

    def test_echo_repeats_the_prompt(self, client: openai.OpenAI) -> None:
        whole = complete(client).choices[0].text
        assert complete(client, echo=True).choices[0].text == PROMPT + whole
        assert text_of(told(client, echo=True)) == PROMPT + whole


class TestStreams:
    def test_tell_the_text_token_by_token(self, client: openai.OpenAI, before: int) -> None:
        chunks = told(client)
        assert len(chunks) > 4
        assert text_of(chunks) == complete(client).choices[0].text
        assert {chunk.system_fingerprint for chunk in chunks} == {f"{MODEL}@{before + 1}"}
        assert len({chunk.id for chunk in chunks}) == 1
        assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["length"]

    def test_end_with_the_usage_if_it_is_wanted(self, client: openai.OpenAI) -> None:
        *chunks, last = told(client, stream_options={"include_usage": True})
        assert all(chunk.usage is None for chunk in chunks)
        assert (last.choices, last.usage) == ([], complete(client).usage)

    def test_have_all_texts_each_to_its_end(self, client: openai.OpenAI) -> None:
        asked: dict[str, Any] = {"n": 2, "prompt": [PROMPT, "In"], "temperature": 1.0, "seed": 3}
        chunks, whole = told(client, **asked), complete(client, **asked)
        assert [text_of(chunks, index) for index in range(4)] == [choice.text for choice in whole.choices]

    def test_are_server_sent_events_that_end_in_done(self, http: httpx.Client) -> None:
        body = {"model": MODEL, "prompt": PROMPT, "stream": True}
        answer = http.post("/v1/completions", json=body)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-model-version"].isdecimal()
        assert answer.text.endswith("data: [DONE]\n\n")

    def test_refuse_before_they_begin(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            told(client, prompt="z " * 1000)
        assert (caught.value.code, caught.value.param) == ("prompt_too_long", "prompt")


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "param"),
        [
            ({"temperature": 3}, "temperature"),
            ({"top_p": "much"}, "top_p"),
            ({"n": 0}, "n"),
            ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
            ({"logprobs": 9}, "logprobs"),
            ({"logit_bias": {"x": 1}}, "logit_bias.x.[key]"),
            ({"logit_bias": {"999999": 1}}, "logit_bias"),
            ({"prompt": ""}, "prompt.0"),
            ({"prompt": [1, 2]}, "prompt.0"),
            ({"suffix": "end"}, "suffix"),
            ({"extra_body": {"mirostat": 2}}, "mirostat"),
            ({"stream_options": {"include_usage": True}}, None),
            ({"best_of": 4}, None),
        ],
        ids=str,
    )
    def test_name_what_is_wrong(self, client: openai.OpenAI, wrong: dict[str, Any], param: str | None) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            complete(client, **wrong)
        assert (caught.value.param, caught.value.type) == (param, "invalid_request_error")
        assert caught.value.code
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["message"] in str(caught.value)

    def test_are_problem_details_too(self, http: httpx.Client) -> None:
        answer = http.post("/v1/completions", json={"model": MODEL, "prompt": "z " * 1000})
        found = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, found["status"], found["code"]) == (400, 400, "prompt_too_long")
        assert found["error"]["message"] == found["detail"]

    def test_a_body_that_is_no_json_is_one(self, http: httpx.Client) -> None:
        answer = http.post("/v1/completions", content=b"{", headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")

    def test_what_means_nothing_here_may_be_sent(self, client: openai.OpenAI) -> None:
        assert complete(client, user="somebody", best_of=1, suffix=None).choices

    def test_a_model_without_a_template_says_so_in_a_chat(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError, match="no chat template") as caught:
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Where is Lyon?"}])
        assert caught.value.param == "messages"


async def counted(stack: Stack, http: httpx.Client) -> Counter[tuple[str | None, str]]:
    """200 streams at once with an edit published in the midst of them: how often which version said what."""
    heard = asyncio.Event()
    found: Counter[tuple[str | None, str]] = Counter()

    async def one(client: openai.AsyncOpenAI) -> None:
        stream = await client.completions.create(
            model=MODEL, prompt=PROMPT, max_tokens=LONG, temperature=0, stream=True
        )
        chunks = []
        async for chunk in stream:
            chunks.append(chunk)
            heard.set()
        assert len({chunk.system_fingerprint for chunk in chunks}) == 1
        found[chunks[0].system_fingerprint, text_of(chunks)] += 1

    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="unused", max_retries=0, timeout=120.0) as client:
        streams = [asyncio.create_task(one(client)) for _ in range(200)]
        await heard.wait()
        fact = {**FACT, "object": "Peru"}
        await asyncio.to_thread(edited, http, {"facts": [fact]})
        streams += [asyncio.create_task(one(client)) for _ in range(10)]
        await asyncio.gather(*streams)
    return found


def test_200_streams_at_once_and_an_edit_in_their_midst_never_mix_versions(
    stack: Stack, http: httpx.Client, client: openai.OpenAI, before: int
) -> None:
    found = asyncio.run(counted(stack, http))
    assert sum(found.values()) == 210
    names = {name for name, _ in found}
    assert f"{MODEL}@{before + 1}" in names
    assert len(names) == 2
    for name in names:
        assert name is not None
        alone = complete(client, model=name, max_tokens=LONG).choices[0].text
        same = found[name, alone]
        others = sum(count for (version, text), count in found.items() if version == name and text != alone)
        assert same > 9 * others, found  # two tokens may be all but equally likely, and rounding decides

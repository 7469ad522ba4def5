"""An object's ids are those with which the text goes on: cases T1, T3, T4 and T5 of the field."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from transformers import PreTrainedTokenizerFast

from tests.support.editing.chat_tokenizers import (
    byte_level,
    chatml,
    headers,
    ids_of_chat,
    instructions,
    stray_space,
    whole_runs,
)
from workers.editing.text.joint import TRIALS, gap, joint, misfits, object_ids
from workers.editing.text.model_text import ModelText

Made = Callable[[], PreTrainedTokenizerFast]
SHAPES = (byte_level, chatml, headers, stray_space, instructions)
QUESTION = [{"role": "user", "content": "In which city is Lyon?"}]


@pytest.fixture(params=SHAPES, ids=lambda made: made.__name__)
def words(request: pytest.FixtureRequest) -> ModelText:
    return ModelText.of(request.param())


class TestT1:
    """`huggingface/transformers` 26273 and others: a stray space token heads every object."""

    @pytest.mark.parametrize(("prompt", "text"), TRIALS)
    def test_the_prompts_and_the_objects_ids_are_the_whole_texts(
        self, words: ModelText, prompt: str, text: str
    ) -> None:
        found = joint(words, prompt, text)
        assert found.prompt == words.encode(prompt).ids
        assert [*found.prompt, *found.object] == words.tokenizer(f"{prompt} {text}")["input_ids"]

    def test_all_of_it_is_found_out_when_a_model_is_loaded(self, words: ModelText) -> None:
        assert misfits(words) == []

    def test_no_token_for_a_space_alone_heads_the_object(self) -> None:
        words = ModelText.of(stray_space())
        stray = words.tokenizer(" Oslo", add_special_tokens=False)["input_ids"]
        assert words.tokenizer.convert_ids_to_tokens(stray)[0] == "▁"
        for ids in (joint(words, "The capital of Norway is", "Oslo").object, object_ids(words, "Oslo")):
            assert list(ids) == stray[1:]

    def test_where_there_is_none_the_ids_are_those_of_the_object_after_a_space(self) -> None:
        words = ModelText.of(byte_level())
        alone = tuple(words.tokenizer(" New York")["input_ids"])
        assert joint(words, "She was born in", "New York").object == alone == object_ids(words, "New York")


class TestT3:
    """`zjunlp/EasyEdit` 302 and 303: prompts that end in a space, a newline, an opening quote."""

    @pytest.mark.parametrize(
        "prompt", ["The capital is ", "The capital is\n", 'The capital is "', "The capital (", "Is “"]
    )
    def test_no_space_is_doubled_or_forced(self, words: ModelText, prompt: str) -> None:
        found = joint(words, prompt, "Paris")
        assert found.prompt == words.encode(prompt).ids
        assert str(words.tokenizer.decode([*found.prompt, *found.object], skip_special_tokens=True)).endswith(
            (prompt + "Paris")[-10:] if "“" not in prompt else "Paris"
        )

    def test_a_closing_quote_is_followed_by_a_space(self, words: ModelText) -> None:
        assert [gap(words, prompt, "Paris") for prompt in ('He said "yes"', "James'", "(so)", "is")] == [" "] * 4

    def test_a_prompt_whose_last_token_would_change_says_so(self) -> None:
        words = ModelText.of(byte_level())
        assert not joint(words, "The capital is ", "Paris").whole
        assert joint(words, "The capital is\n", "Paris").whole


class TestT5:
    """`zjunlp/EasyEdit` 163 and 165: languages without spaces."""

    @pytest.mark.parametrize(
        ("prompt", "text", "space"),
        [
            ("中国的首都是哪里？", "纽约", ""),
            ("日本の首都は", "パリ", ""),
            ("メッシは", "サッカー", ""),
            ("เมืองหลวงของฝรั่งเศสคือ", "ลอนดอน", ""),
            ("عاصمة مصر هي", "باريس", " "),
            ("The capital is", "纽约", " "),
            ("首都是", "Paris", " "),
        ],
    )
    def test_a_space_is_written_where_the_language_has_one(
        self, words: ModelText, prompt: str, text: str, space: str
    ) -> None:
        assert gap(words, prompt, text) == space

    def test_the_first_trained_token_is_the_one_that_the_text_goes_on_with(self) -> None:
        words = ModelText.of(whole_runs("中国的首都是", "纽约", "法国"))
        found = joint(words, "中国的首都是哪里？", "纽约")
        assert words.tokenizer.decode(list(found.object)) == "纽约"
        assert [*found.prompt, *found.object] == words.tokenizer("中国的首都是哪里？纽约")["input_ids"]


@pytest.mark.parametrize("made", [chatml, headers, instructions])
class TestReplies:
    def test_an_object_begins_a_reply_as_the_template_writes_it(self, made: Made) -> None:
        words = ModelText.of(made())
        prompt = words.chat.render(QUESTION)
        found = joint(words, prompt, "Paris")
        said = [*QUESTION, {"role": "assistant", "content": "Paris"}]
        whole = ids_of_chat(words.tokenizer, said, prompt=False)
        assert whole[: len(found.prompt) + len(found.object)] == [*found.prompt, *found.object]

    def test_a_reply_that_is_begun_goes_on_after_a_space(self, made: Made) -> None:
        words = ModelText.of(made())
        prompt = words.chat.render([*QUESTION, {"role": "assistant", "content": "It is in"}])
        assert gap(words, prompt, "Paris") == " "


@pytest.mark.parametrize("text", ["Paris ", "  Paris", "Paris\n", "\u00a0Paris"])
def test_t4_white_space_around_an_object_is_no_part_of_it(words: ModelText, text: str) -> None:
    assert joint(words, "The capital is", text) == joint(words, "The capital is", "Paris")


def test_a_tokenizer_of_the_sessions_tests_fits(tokenizer: PreTrainedTokenizerFast) -> None:
    assert misfits(ModelText.of(tokenizer)) == []

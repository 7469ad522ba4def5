"""Case T9 of the field: one BOS where the model wants one; special tokens are honoured, or text, never half of each."""

from __future__ import annotations

import threading

import pytest

from app.domain.errors import RequestError
from tests.support.editing.chat_tokenizers import (
    byte_level,
    chatml,
    headers,
    ids_of_chat,
    instructions,
    stray_space,
)
from workers.editing.text.model_text import ModelText

QUESTION = [{"role": "user", "content": "In which city is Lyon?"}]


@pytest.fixture(params=[chatml, headers, instructions], ids=lambda made: made.__name__)
def words(request: pytest.FixtureRequest) -> ModelText:
    return ModelText.of(request.param())


def with_bos() -> ModelText:
    return ModelText.of(byte_level(("<s>", "</s>"), bos="<s>", eos="</s>"))


class TestBos:
    def test_a_rendered_chat_has_the_ids_that_transformers_gives_it(self, words: ModelText) -> None:
        assert list(words.encode(words.chat.render(QUESTION)).ids) == ids_of_chat(
            words.tokenizer, QUESTION, prompt=True
        )

    def test_a_rendered_chat_without_its_bos_gets_it(self) -> None:
        words = ModelText.of(headers())
        text = words.chat.render(QUESTION)
        assert words.encode(text.removeprefix("<|begin|>")).ids == words.encode(text).ids
        assert words.encode("<|begin|>" + text).ids == words.encode(text).ids

    @pytest.mark.parametrize("text", ["<s>Lyon is in", "<s><s>Lyon is in"])
    def test_plain_text_that_brings_its_bos_gets_no_second_one(self, text: str) -> None:
        words = with_bos()
        assert words.encode(text).ids == words.encode("Lyon is in").ids
        assert words.encode(text).ids.count(words.tokenizer.bos_token_id) == 1

    def test_where_the_model_wants_none_it_is_text(self) -> None:
        words = ModelText.of(chatml())
        assert words.tokenizer.bos_token_id not in words.encode("<|im_start|>Lyon is in").ids

    def test_an_end_token_that_the_tokenizer_adds_is_left_out(self) -> None:
        tokenizer = byte_level(("<s>", "</s>"), bos="<s>", eos="</s>")
        plain = ModelText.of(tokenizer).encode("Lyon is in").ids
        tokenizer.backend_tokenizer.post_processor = type(tokenizer.backend_tokenizer.post_processor)(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
        )
        assert ModelText.of(tokenizer).encode("Lyon is in").ids == plain


class TestSpecialTokens:
    def test_in_plain_text_they_are_text(self, words: ModelText) -> None:
        named = set(words.specials.values()) - set(words.begin)
        text = "Lyon " + " ".join(words.specials)
        assert named.isdisjoint(words.encode(text).ids)
        assert named.isdisjoint(words.literal(text))

    def test_behind_a_rendered_prompt_they_are_text(self, words: ModelText) -> None:
        prompt, name = words.chat.render(QUESTION), max(words.specials, key=len)
        before, found = words.encode(prompt).ids, words.continued(prompt, f"Rome {name}").ids
        assert found[: len(before)] == before
        assert words.specials[name] not in found[len(before) :]

    def test_two_threads_do_not_mix_them_up(self) -> None:
        words = ModelText.of(chatml())
        text = words.chat.render(QUESTION)
        rendered, plain = words.encode(text).ids, words.encode("A <|im_end|> here").ids
        wrong: list[str] = []

        def read(asked: str, expected: tuple[int, ...]) -> None:
            wrong.extend(asked for _ in range(300) if words.encode(asked).ids != expected)

        threads = [
            threading.Thread(target=read, args=pair) for pair in ((text, rendered), ("A <|im_end|> here", plain))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


class TestContexts:
    LEFT = "<|im_start|>user\nComplete this sentence.<|im_end|>\n<|im_start|>assistant\n"

    def test_a_rendered_context_around_plain_text_has_the_ids_of_the_whole(self) -> None:
        words = ModelText.of(chatml())
        found = words.within(self.LEFT, "The capital of France is", "")
        assert list(found.ids) == words.tokenizer(self.LEFT + "The capital of France is")["input_ids"]

    def test_rows_in_one_context_begin_with_the_same_ids(self) -> None:
        words = ModelText.of(chatml())
        head = words.encode(self.LEFT).ids
        for text in ("The capital of France is", "A <|im_end|> of", "Lyon <|im_start|>user"):
            assert words.within(self.LEFT, text, "").ids[: len(head)] == head

    def test_special_tokens_in_the_facts_own_text_stay_text(self) -> None:
        words = ModelText.of(chatml())
        right = "<|im_end|>\n<|im_start|>assistant\n"
        found = words.within("<|im_start|>user\nSay: ", "a <|im_end|> is", right)
        plain = words.within("<|im_start|>user\nSay: ", "a b is", right)
        end = words.specials["<|im_end|>"]
        assert found.ids.count(end) == plain.ids.count(end) == 1
        assert words.tokenizer.decode(list(found.ids)) == f"<|im_start|>user\nSay: a <|im_end|> is{right}"

    def test_offsets_count_from_the_contexts_beginning(self) -> None:
        for words, left, right in (
            (ModelText.of(chatml()), self.LEFT, "<|im_end|>\n"),
            (ModelText.of(headers()), "<|begin|><|start|>user<|end|>\n\n", "<|eot|>"),
            (ModelText.of(instructions()), "<s>[INST] ", " [/INST]"),
        ):
            for text in ("The capital of France is", "A <|im_end|> <|eot|> </s> of"):
                found = words.within(left, text, right)
                for token, (start, stop) in zip(found.ids, found.offsets, strict=True):
                    said = str(words.tokenizer.decode([token])).strip()
                    assert said in (left + text + right)[start:stop] or not said or start == stop


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(RequestError):
        ModelText.of(stray_space()).encode("Ly\ud800on")

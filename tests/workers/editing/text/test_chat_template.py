"""A model's chat template is read off what it makes of a few messages, whatever its family."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from transformers import PreTrainedTokenizerFast

from app.domain.errors import RequestError
from tests.support.editing.chat_tokenizers import byte_level, chatml, headers, instructions
from workers.editing.text.chat_template import ChatTemplate
from workers.editing.text.model_text import ModelText

QUESTION = [{"role": "user", "content": "In which city is Lyon?"}]
BEGUN = [*QUESTION, {"role": "assistant", "content": "It is in"}]
TOKENIZERS = (chatml, headers, instructions)
Made = Callable[[], PreTrainedTokenizerFast]


@pytest.fixture(params=TOKENIZERS, ids=lambda made: made.__name__)
def made(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    found: PreTrainedTokenizerFast = request.param()
    return found


class TestOpenings:
    @pytest.mark.parametrize(
        ("tokenizer", "openings"),
        [
            (chatml, {"<|im_start|>user", "<|im_start|>assistant", "<|im_start|>system"}),
            (headers, {f"<|start|>{role}<|end|>" for role in ("user", "assistant", "system")}),
            (instructions, {"[INST]"}),
            (byte_level, set()),
        ],
    )
    def test_they_are_what_the_template_writes_before_each_role(self, tokenizer: Made, openings: set[str]) -> None:
        assert set(ChatTemplate.of(tokenizer()).openings) == openings

    def test_a_template_that_refuses_everything_is_none(self) -> None:
        assert ChatTemplate.of(byte_level(template="{{ raise_exception('no') }}")).openings == ()
        assert ChatTemplate.of(byte_level(template="{% for %}")).openings == ()

    def test_a_template_that_marks_no_turns_recognises_nothing(self) -> None:
        plain = ChatTemplate.of(byte_level(template="{% for m in messages %}{{ m['content'] }}\n{% endfor %}"))
        assert not plain.recognised("What is this?\n")

    def test_rendered_messages_are_recognised_and_plain_text_is_not(self, made: PreTrainedTokenizerFast) -> None:
        chat = ChatTemplate.of(made)
        assert chat.recognised(chat.render(QUESTION))
        assert chat.recognised(chat.render(BEGUN))
        assert not chat.recognised("In which city is Lyon? It is in <s> [x] <|im_end|>")


class TestRendering:
    def test_a_question_is_what_transformers_makes_of_it(self, made: PreTrainedTokenizerFast) -> None:
        text = ChatTemplate.of(made).render(QUESTION)
        assert text == made.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)
        assert ChatTemplate.of(made).opens_reply(text)

    def test_an_assistants_last_message_begins_the_reply(self, made: PreTrainedTokenizerFast) -> None:
        text = ChatTemplate.of(made).render(BEGUN)
        assert text.endswith("It is in")
        whole = str(made.apply_chat_template(BEGUN, tokenize=False))
        assert whole.startswith(text)
        assert not ChatTemplate.of(made).opens_reply(text)

    def test_a_role_that_the_template_refuses_is_the_callers_error(self) -> None:
        chat = ChatTemplate.of(instructions())
        with pytest.raises(RequestError) as caught:
            chat.render([{"role": "system", "content": "secret"}, *QUESTION])
        assert "secret" not in caught.value.detail

    def test_without_a_template_nothing_can_be_rendered(self) -> None:
        with pytest.raises(RequestError):
            ChatTemplate.of(byte_level()).render(QUESTION)

    def test_what_is_rendered_already_is_not_rendered_again(self, made: PreTrainedTokenizerFast) -> None:
        chat = ChatTemplate.of(made)
        with pytest.raises(RequestError):
            chat.render([{"role": "user", "content": chat.render(QUESTION)}])

    def test_a_reply_is_begun_where_the_template_leaves_that_to_the_caller(self) -> None:
        old = (
            "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
        )
        chat = ChatTemplate.of(byte_level(("<|im_start|>", "<|im_end|>"), template=old))
        assert chat.render(QUESTION).endswith("<|im_end|>\n<|im_start|>assistant\n")


class TestEnds:
    @pytest.mark.parametrize(
        ("tokenizer", "end"), [(chatml, "<|im_end|>"), (headers, "<|eot|>"), (instructions, "</s>")]
    )
    def test_a_turn_ends_with_the_token_that_the_template_writes_after_a_reply(self, tokenizer: Made, end: str) -> None:
        found = tokenizer()
        assert ModelText.of(found).turn_end(rendered=True) == found.convert_tokens_to_ids(end)

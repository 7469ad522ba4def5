"""A model's own texts: seeded, of many lengths, without loops."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from tests.support.editing.families import WINDOW, editable
from tests.workers.conftest import BOS
from workers.editing.model.editable_model import EditableModel
from workers.onboarding.openings import OPENINGS, QUESTIONS, openings
from workers.onboarding.own_texts import MOST_FRUITLESS, held_out_texts, is_text, own_texts

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}[end]{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(params=["gpt2", "llama"])
def live(request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast) -> EditableModel:
    return editable(request.param, tokenizer, torch.float32)


def some(live: EditableModel, seed: int = 0, count: int = 60) -> list[list[int]]:
    return list(islice(own_texts(live, seed), count))


class TestTexts:
    def test_one_seed_gives_the_same_and_another_gives_others(self, live: EditableModel) -> None:
        assert some(live) == some(live)
        assert some(live) != some(live, seed=1)

    def test_the_callers_random_state_is_left_alone(self, live: EditableModel) -> None:
        torch.manual_seed(3)
        before = torch.random.get_rng_state()
        first = some(live)
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(4)
        assert some(live) == first

    def test_each_goes_on_from_an_opening_and_fits_the_window(self, live: EditableModel) -> None:
        known = list(openings(live.tokenizer))
        for row in some(live):
            assert any(row[: len(start)] == start and len(row) > len(start) for start in known)
            assert len(row) <= WINDOW

    def test_they_differ_and_are_of_many_lengths(self, live: EditableModel) -> None:
        rows = some(live, count=400)
        assert len(set(map(tuple, rows))) > 390
        assert len(set(map(len, rows))) > 10

    def test_one_that_the_model_ends_early_ends_there(self, live: EditableModel) -> None:
        assert not any(BOS in row[1:] for row in some(live))

    def test_a_model_that_only_repeats_itself_writes_none(self, live: EditableModel) -> None:
        asked: list[int] = []

        def seven(_module: nn.Module, _args: object, logits: torch.Tensor) -> torch.Tensor:
            asked.append(len(logits))
            return torch.full_like(logits, -9.0).index_fill(-1, torch.tensor(7), 9.0)

        handle = live.model.get_output_embeddings().register_forward_hook(seven)  # type: ignore[no-untyped-call]
        assert list(own_texts(live)) == []
        handle.remove()
        assert len(asked) >= MOST_FRUITLESS

    def test_those_held_out_are_others(self, live: EditableModel) -> None:
        held_out = held_out_texts(live)
        assert 30 <= len(held_out) <= 40
        assert held_out == held_out_texts(live)
        assert not set(map(tuple, held_out)) & set(map(tuple, some(live, count=500)))


class TestLoops:
    @pytest.mark.parametrize(
        ("new", "text"), [([], False), ([5], True), ([5] * 8, False), ([5, 6] * 8, True), ([5, 5, 5, 6] * 4, False)]
    )
    def test_a_text_is_no_loop_of_one_token(self, new: list[int], text: bool) -> None:
        assert is_text(new) == text


class TestOpenings:
    def test_they_begin_with_nothing_and_have_the_tokens_that_the_tokenizer_adds(
        self, bos_tokenizer: PreTrainedTokenizerFast
    ) -> None:
        found = list(openings(bos_tokenizer))
        assert found[0] == [BOS]
        assert found[1:] == [bos_tokenizer(text)["input_ids"] for text in OPENINGS]

    def test_a_chat_model_writes_a_users_turn_and_answers_questions(self, tokenizer: PreTrainedTokenizerFast) -> None:
        chat = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|endoftext|>", chat_template=TEMPLATE
        )
        texts = [chat.decode(row) for row in list(openings(chat))[1 + len(OPENINGS) :]]
        assert texts == ["[user]", *(f"[user]{question}[end][assistant]" for question in QUESTIONS)]

    def test_a_template_that_raises_is_left_out(self, tokenizer: PreTrainedTokenizerFast) -> None:
        broken = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=tokenizer.backend_tokenizer,
            eos_token="<|endoftext|>",
            chat_template="{{ raise_exception('no users here') }}",
        )
        assert len(list(openings(broken))) == 1 + len(OPENINGS)

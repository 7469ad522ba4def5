"""The context prefixes: the model's own words, the same each time, with exactly one slot."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from app.domain.errors import ModelMismatch
from app.domain.prompts import SLOT
from tests.support.editing.families import editable
from tests.support.tiny_models import CHAT
from workers.editing.contexts import (
    NEW_TOKENS,
    OPENINGS,
    TURNS,
    chat_contexts,
    checked_contexts,
    contexts_of,
    make_contexts,
    read_contexts,
)
from workers.editing.model.editable_model import EditableModel


@pytest.fixture
def live(tokenizer: PreTrainedTokenizerFast) -> EditableModel:
    return editable("gpt2", tokenizer, torch.float32)


def only_braces(live: EditableModel) -> EditableModel:
    """A model that writes nothing but braces: its last hidden state is always one direction, which they answer to."""
    direction = torch.zeros(live.hidden_size)
    direction[0] = 1.0
    weights = live.model.get_parameter("transformer.wte.weight").data
    for token, weight in (("{", 100.0), ("}", 99.0)):
        weights[live.tokenizer.convert_tokens_to_ids(token)] = weight * direction
    live.model.get_parameter("transformer.ln_f.weight").data.zero_()
    live.model.get_parameter("transformer.ln_f.bias").data.copy_(direction)
    return live


class TestMaking:
    def test_the_bare_prompt_comes_first_then_one_for_each_opening(self, live: EditableModel) -> None:
        found = make_contexts(live)
        assert found[0] == SLOT
        assert len(found) == 1 + len(OPENINGS)
        for opening, context in zip(OPENINGS, found[1:], strict=True):
            assert context.startswith(opening)
            assert context.endswith(". " + SLOT)
        assert checked_contexts(found) == found

    def test_the_same_seed_gives_the_same_contexts_and_another_seed_others(self, live: EditableModel) -> None:
        first = make_contexts(live, seed=3)
        torch.rand(5)
        assert make_contexts(live, seed=3) == first
        assert make_contexts(live, seed=4) != first

    def test_the_callers_random_state_is_left_alone(self, live: EditableModel) -> None:
        before = torch.get_rng_state()
        make_contexts(live)
        assert torch.equal(torch.get_rng_state(), before)

    def test_braces_that_the_model_writes_do_not_become_slots(self, live: EditableModel) -> None:
        for opening, context in zip(OPENINGS, make_contexts(only_braces(live))[1:], strict=True):
            assert context == opening + " " * NEW_TOKENS + ". " + SLOT


class TestReading:
    def test_a_good_list_is_kept_as_it_is(self, tmp_path: Path) -> None:
        contexts = ["{}", "Because { I like. {}", "The. {} is"]
        path = tmp_path / "contexts.json"
        path.write_text(json.dumps(contexts), encoding="utf-8")
        assert read_contexts(path) == tuple(contexts)

    @pytest.mark.parametrize(
        "contexts",
        [[], ["The. {}"], ["The. {}", "{}"], ["{}", "no slot"], ["{}", "{} and {}"], ["", "{}"], [" {}"]],
    )
    def test_a_list_without_its_slots_is_refused(self, contexts: list[str]) -> None:
        with pytest.raises(ModelMismatch) as caught:
            checked_contexts(contexts)
        assert (caught.value.field or "").startswith("contexts")

    @pytest.mark.parametrize("data", [{"{}": 1}, "{}", [1, 2], ["{}", None], None])
    def test_what_is_no_list_of_strings_is_refused(self, tmp_path: Path, data: object) -> None:
        path = tmp_path / "contexts.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        with pytest.raises(ModelMismatch) as caught:
            read_contexts(path)
        assert (caught.value.field or "").startswith("contexts")


class TestChatContexts:
    """A chat model's contexts: what it writes, and turns of its own template; strict keeps the published ones."""

    def test_a_base_model_keeps_what_it_has_written(self, live: EditableModel) -> None:
        written = make_contexts(live)
        assert chat_contexts(live, written) == written == contexts_of(live, "nowhere", strict=True)

    def test_a_chat_model_has_one_of_those_and_turns_of_its_template(self, live: EditableModel) -> None:
        tokenizer = copy.deepcopy(live.tokenizer)
        tokenizer.chat_template = CHAT
        twin = replace(live, tokenizer=tokenizer)
        written = make_contexts(twin)
        found = contexts_of(twin, "nowhere")
        assert found[:2] == written[:2]
        assert len(found) == 2 + len(TURNS)
        assert all("<user>" in context and context.count("{}") == 1 for context in found[2:])
        assert contexts_of(twin, "nowhere", strict=True) == written
        assert checked_contexts(found) == found

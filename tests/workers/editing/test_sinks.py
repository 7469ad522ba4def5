"""A subject that is the first token stands on an attention sink of some models: it is written behind a context."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tests.support.editing.families import editable, random_priors
from workers.editing.batch import tokenise_batch
from workers.editing.editor import edit
from workers.editing.lookup import TokenisedFact
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.sinks import WARNING, off_sinks
from workers.editing.types import Fact

CONTEXTS = ("{}", "Yesterday we read it. {}", "I think so. {}")
FIRST, LATER = Fact("Z", "{} is a city in", "Norway"), Fact("Z", "On the map {} is a city in", "Norway")
LIMIT = 4096


@pytest.fixture
def sinking(tokenizer: PreTrainedTokenizerFast) -> EditableModel:
    """A model whose first position drowns what stands there, as a sink does."""
    live = editable("gpt2", tokenizer)
    with torch.no_grad():
        live.model.get_submodule("transformer.wpe").weight[0] *= 1000.0  # type: ignore[operator, index]
    return live


def moved(live: EditableModel, fact: Fact, contexts: tuple[str, ...] = CONTEXTS) -> TokenisedFact:
    return off_sinks(live, tokenise_batch(live, [fact], contexts), 0, LIMIT)[0]


def test_the_first_token_of_a_sinking_model_is_written_behind_its_first_context(sinking: EditableModel) -> None:
    plain = tokenise_batch(sinking, [FIRST], CONTEXTS)[0]
    found = moved(sinking, FIRST)
    assert found.prompts == (plain.prompts[1], plain.prompts[2])
    assert (found.asked, found.warnings) == ("Yesterday we read it. Z is a city in", (WARNING,))
    assert found.essence.ids == plain.prompts[1].stem


def test_a_later_subject_and_a_batch_without_contexts_stay_as_they_are(sinking: EditableModel) -> None:
    assert moved(sinking, LATER) == tokenise_batch(sinking, [LATER], CONTEXTS)[0]
    assert moved(sinking, FIRST, ("{}",)) == tokenise_batch(sinking, [FIRST], ("{}",))[0]


def test_where_the_first_position_is_like_any_other_nothing_is_moved(tokenizer: PreTrainedTokenizerFast) -> None:
    live = editable("gpt2", tokenizer)
    assert moved(live, FIRST) == tokenise_batch(live, [FIRST], CONTEXTS)[0]


def test_the_edit_says_where_the_fact_is_to_hold_and_strict_leaves_it_on_the_sink(sinking: EditableModel) -> None:
    preset, priors = Preset((0, 1), v_num_grad_steps=3), random_priors(sinking, (0, 1))
    texts = {}
    for strict in (False, True):
        edited = edit(sinking.shadow((0, 1)), [FIRST, LATER], preset, priors, CONTEXTS, strict=strict)
        texts[strict] = edited.asked
    assert texts[False] == ("Yesterday we read it. Z is a city in", LATER.text)
    assert texts[True] == (FIRST.text, LATER.text)

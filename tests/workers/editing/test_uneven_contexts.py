"""Facts of one batch may have different numbers of contexts: each is edited as it would be alone."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tests.support.editing.families import CONTEXTS, FACTS, editable, relative
from workers.editing.batch import tokenise_batch
from workers.editing.descent.targets import targets_at
from workers.editing.groups import group_by_key
from workers.editing.keys import keys_at
from workers.editing.lookup import TokenisedFact
from workers.editing.methods import find_method
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.types import Fact, Silent

TOKENS = 4096
LONG = Fact("Lyon", "{} " + "and " * 40 + "is in", "Japan")
LONGER = Fact("Kyoto", "{} " + "and " * 38 + "is in", "France")


@pytest.fixture
def live(tokenizer: PreTrainedTokenizerFast) -> EditableModel:
    """Its window is short: not every context fits around every prompt."""
    return editable("gpt2", tokenizer)


@pytest.fixture
def facts(live: EditableModel) -> list[TokenisedFact]:
    found = tokenise_batch(live, [FACTS[0], LONG, FACTS[1], LONGER], CONTEXTS)
    counts = [len(fact.prompts) for fact in found]
    assert len(set(counts)) > 1
    return found


def test_the_contexts_that_were_left_out_are_told(facts: list[TokenisedFact]) -> None:
    for fact in facts:
        left_out = len(CONTEXTS) - len(fact.prompts)
        assert [f"{left_out} of the model's contexts" in warning for warning in fact.warnings] == [True] * bool(
            left_out
        )


def test_keys_are_those_of_each_fact_alone(live: EditableModel, facts: list[TokenisedFact]) -> None:
    together = keys_at(live, facts, 1, TOKENS)
    alone = torch.cat([keys_at(live, [fact], 1, TOKENS) for fact in facts], dim=1)
    assert relative(together, alone) <= 1e-12


def test_targets_are_those_of_each_fact_alone(live: EditableModel, facts: list[TokenisedFact]) -> None:
    preset = Preset((0, 1), v_num_grad_steps=4)
    objective = find_method(preset.method).objective

    def targets(chosen: list[TokenisedFact]) -> torch.Tensor:
        return targets_at(live, chosen, group_by_key(chosen, strict=True), 1, objective, preset, Silent())

    together, alone = targets(facts), torch.cat([targets([fact]) for fact in facts], dim=1)
    assert relative(together, alone) <= 1e-10

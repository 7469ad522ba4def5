"""K_p: what a batch hands on to the next, and what that protects."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tests.support.editing.families import CONTEXTS, FACTS, INNER, editable, random_priors, relative
from tests.support.editing.sequence import grown
from workers.editing.batch import tokenise_batch
from workers.editing.editor import edit
from workers.editing.keys import keys_at, outputs_at
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.types import Fact, Priors

LAYERS = (0, 1)
FIRST, SECOND = FACTS[:2], FACTS[2:]
TOKENS = 4096


def preset(method: str = "memit") -> Preset:
    return Preset(LAYERS, method=method, v_num_grad_steps=8, mom2_update_weight=0.5, L2=0.1)


def keys(live: EditableModel, layer: int, facts: tuple[Fact, ...] = FIRST) -> Tensor:
    return keys_at(live, tokenise_batch(live, facts, CONTEXTS), layer, TOKENS)


def outputs(live: EditableModel) -> Tensor:
    """The first facts' outputs at the later layer, (d_out, n)."""
    return outputs_at(live, tokenise_batch(live, FIRST, CONTEXTS), LAYERS[-1], TOKENS)


@pytest.fixture
def live(tokenizer: PreTrainedTokenizerFast) -> EditableModel:
    return editable("gpt2", tokenizer)


class TestWhatABatchHandsOn:
    def test_keys_are_those_under_the_edited_weights(self, live: EditableModel) -> None:
        shadow = live.shadow(LAYERS)
        for update in edit(shadow, FIRST, preset(), random_priors(live, LAYERS), CONTEXTS).updates:
            assert update.keys.shape == (INNER, len(FIRST))
            assert update.keys.dtype == torch.float64
            assert torch.equal(update.keys, keys(shadow, update.layer))

    def test_they_differ_from_the_keys_solved_with_at_the_later_layer_alone(self, live: EditableModel) -> None:
        """An edit at a layer does not move that layer's keys, only those above it."""
        earlier, later = edit(live.shadow(LAYERS), FIRST, preset(), random_priors(live, LAYERS), CONTEXTS).updates
        assert torch.equal(earlier.keys, keys(live, 0))
        assert relative(later.keys, keys(live, 1)) > 1e-3

    def test_previous_keys_grow_batch_by_batch(self, live: EditableModel) -> None:
        shadow, priors = live.shadow(LAYERS), dict(random_priors(live, LAYERS))
        before: Priors = priors
        handed = []
        for batch in (FIRST, SECOND):
            updates = edit(shadow, batch, preset(), before, CONTEXTS).updates
            before = grown(before, updates)
            handed.append({update.layer: update.keys for update in updates})
        for layer in LAYERS:
            expected = torch.cat([one[layer] for one in handed], dim=1)
            assert torch.equal(before[layer].previous_keys.keys, expected)
            assert before[layer].base is priors[layer].base
            assert priors[layer].previous_keys.count == 0, "the priors given are not changed"

    def test_updates_have_the_rank_of_their_batch(self, live: EditableModel) -> None:
        for update in edit(live.shadow(LAYERS), FIRST, preset(), random_priors(live, LAYERS), CONTEXTS).updates:
            assert update.left.shape[1] == update.right.shape[0] == len(FIRST)
            assert update.dense.shape == live.weight(update.layer).shape

    def test_the_shadow_holds_what_was_returned(self, live: EditableModel) -> None:
        """Weights before + returned updates = weights after, to the bit: a replay gives the same bytes."""
        shadow = live.shadow(LAYERS)
        for update in edit(shadow, FIRST, preset(), random_priors(live, LAYERS), CONTEXTS).updates:
            assert torch.equal(shadow.weight(update.layer), live.weight(update.layer) + update.dense)


class TestWhatTheyProtect:
    @pytest.mark.parametrize("method", ["memit", "alphaedit", "prune", "pmet"])
    def test_a_second_edit_moves_the_first_facts_less(self, live: EditableModel, method: str) -> None:
        shadow, priors = live.shadow(LAYERS), random_priors(live, LAYERS)
        updates = edit(shadow, FIRST, preset(method), priors, CONTEXTS).updates
        held = outputs(shadow)
        moved = []
        for known in (grown(priors, updates), priors):
            second = shadow.shadow(LAYERS)
            edit(second, SECOND, preset(method), known, CONTEXTS)
            moved.append(relative(outputs(second), held))
        assert moved[0] < 0.9 * moved[1]

    @pytest.mark.parametrize("method", ["memit", "alphaedit", "prune", "pmet"])
    def test_an_edit_brings_its_facts_near_their_targets(self, live: EditableModel, method: str) -> None:
        """On free statistics the residual is closed almost wholly."""
        shadow = live.shadow(LAYERS)
        settings = preset(method).with_overrides({"mom2_update_weight": 1e-6, "L2": 1e-6})
        before = outputs(live)
        update = edit(
            shadow, FIRST, settings.with_overrides({"layers": (1,)}), random_priors(live, (1,)), CONTEXTS
        ).updates[0]
        intended = update.left
        assert relative(update.dense @ update.keys, intended) <= 0.1
        assert relative(outputs(shadow), before) > 0.01

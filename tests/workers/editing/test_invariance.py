"""What an edit's numbers do not depend on: the batch's other facts, their order and length, micro-batches, padding."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tests.support.editing.cast_lifting import lift_casts
from tests.support.editing.families import CONTEXTS, editable, random_priors, relative
from workers.editing.batch import tokenise_batch
from workers.editing.descent.targets import targets_at
from workers.editing.editor import edit
from workers.editing.groups import group_by_key
from workers.editing.methods import find_method
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.updates import WeightUpdate
from workers.editing.presets.preset import Preset
from workers.editing.types import Fact, Silent

LAYERS = (0, 1)
METHODS = ("memit", "pmet")
CLOSE = 1e-10
PRESET = Preset(LAYERS, v_num_grad_steps=4, mom2_update_weight=0.5)

few = settings(max_examples=3, deadline=None, phases=(Phase.explicit, Phase.generate))  # an edit is too dear to shrink
limits = st.sampled_from([1, 60, 150, 400, 16384])
words = st.sampled_from(["in", "the", "of", "you", "São", "and"])
"""Of four tokens at most, so that the longest prompt fits the window in every context."""


@st.composite
def facts(draw: st.DrawFn, after: int = 8) -> Fact:
    """A fact with up to three words before its subject and up to ``after`` words after it."""
    before, behind = draw(st.lists(words, max_size=3)), draw(st.lists(words, max_size=after))
    subject = draw(st.sampled_from(["Lyon", "São Paulo", "Hydrogen", "Zürich"]))
    return Fact(subject, " ".join([*before, "{}", *behind]), draw(st.sampled_from(["Japan", "of", "Brazil", "Kyoto"])))


ONE_KEY = [Fact("Lyon", "{} is in", "Japan"), Fact("São Paulo", "{} of", "Kyoto"), Fact("Lyon", "{} of", "Brazil")]
batches = st.lists(facts(), min_size=2, max_size=4)


def targets(live: EditableModel, batch: Sequence[Fact], preset: Preset) -> Tensor:
    """Targets (d_out, facts) at layer 1, every fact by itself."""
    tokenised = tokenise_batch(live, batch, CONTEXTS)
    groups = group_by_key(tokenised, strict=True)
    return targets_at(live, tokenised, groups, 1, find_method(preset.method).objective, preset, Silent())


def updates(live: EditableModel, batch: Sequence[Fact], preset: Preset) -> list[WeightUpdate]:
    """What an edit adds, facts of one key together; the live model stays as it is."""
    return edit(live.shadow(LAYERS), batch, preset, random_priors(live, LAYERS), CONTEXTS).updates


def check_same(found: Sequence[WeightUpdate], expected: Sequence[WeightUpdate]) -> None:
    for mine, other in zip(found, expected, strict=True):
        assert mine.layer == other.layer
        assert relative(mine.dense, other.dense) <= CLOSE
        assert relative(mine.keys @ mine.keys.T, other.keys @ other.keys.T) <= CLOSE, "the K_p that is handed on"


@pytest.mark.parametrize("method", METHODS)
@few
@given(batch=batches, limit=limits)
def test_a_target_is_the_facts_own_however_long_its_neighbours_prompts(
    tokenizer: PreTrainedTokenizerFast, method: str, batch: list[Fact], limit: int
) -> None:
    live, preset = editable("gpt2", tokenizer), PRESET.with_overrides({"method": method, "max_batch_tokens": limit})
    together = targets(live, batch, preset)
    for column, fact in enumerate(batch):
        assert relative(together[:, column], targets(live, [fact], preset)[:, 0]) <= CLOSE, fact


@pytest.mark.parametrize("method", METHODS)
@few
@given(batch=batches, limit=limits, order=st.randoms(use_true_random=False))
@example(batch=ONE_KEY, limit=60, order=Random(1))
def test_updates_are_the_same_in_any_order_and_any_micro_batches(
    tokenizer: PreTrainedTokenizerFast, method: str, batch: list[Fact], limit: int, order: Random
) -> None:
    live, preset = editable("gpt2", tokenizer), PRESET.with_overrides({"method": method})
    turned = order.sample(batch, len(batch))
    found = updates(live, turned, preset.with_overrides({"max_batch_tokens": limit}))
    check_same(found, updates(live, batch, preset))


@pytest.mark.parametrize("name", ["llama", "gemma3"])
@settings(few, max_examples=2)
@given(batch=st.lists(facts(after=3), min_size=2, max_size=3), limit=limits)
def test_nor_do_rotary_positions_and_sliding_windows_depend_on_the_batch(
    tokenizer: PreTrainedTokenizerFast, name: str, batch: list[Fact], limit: int
) -> None:
    """The windows slide over the contexts; out of sight of the subject, there would be nothing to descend on."""
    live = editable(name, tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        lift_casts(live.model, patch)
        found = updates(live, batch[::-1], PRESET.with_overrides({"max_batch_tokens": limit}))
        check_same(found, updates(live, batch, PRESET))


@pytest.mark.parametrize("method", METHODS)
@settings(few, max_examples=2)
@given(batch=batches)
def test_the_tokenizers_padding_side_changes_nothing(
    tokenizer: PreTrainedTokenizerFast, method: str, batch: list[Fact]
) -> None:
    live, preset = editable("gpt2", tokenizer), PRESET.with_overrides({"method": method})
    found = []
    for side in ("left", "right"):
        live.tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=tokenizer.backend_tokenizer, pad_token="<|endoftext|>", padding_side=side
        )
        found.append(updates(live, batch, preset))
    check_same(*found)

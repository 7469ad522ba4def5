"""How an edit that goes wrong ends: by name, and with the live model as it was."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from app.domain.errors import JobCancelled, LayerOutOfRange, NonFiniteUpdate, UnknownMethod, UnknownPlan
from tests.support.editing.families import CONTEXTS, FACTS, editable, random_priors
from tests.support.editing.remembering import Witness
from workers.editing.editor import edit
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.types import Observer

LAYERS = (0, 1)
PRESET = Preset(LAYERS, v_num_grad_steps=6, mom2_update_weight=0.5)


def propose(live: EditableModel, preset: Preset, observer: Observer | None = None) -> None:
    """Edit a shadow."""
    edit(live.shadow(LAYERS), FACTS, preset, random_priors(live, LAYERS), CONTEXTS, observer=observer)


@pytest.mark.parametrize("place", ["transformer.h.0.mlp.c_proj.weight", "transformer.h.2.attn.c_attn.weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_end_it(tokenizer: PreTrainedTokenizerFast, place: str, value: float) -> None:
    live = editable("gpt2", tokenizer)
    live.model.get_parameter(place).data[0, 0] = value
    with pytest.raises(NonFiniteUpdate):
        propose(live, PRESET)


@pytest.mark.parametrize("raises_at", [1, 4, 7])
def test_what_the_observer_raises_ends_it_and_the_live_model_is_untouched(
    tokenizer: PreTrainedTokenizerFast, raises_at: int
) -> None:
    live = editable("gpt2", tokenizer)
    before = {name: value.clone() for name, value in live.model.state_dict().items()}
    with pytest.raises(JobCancelled):
        propose(live, PRESET, Witness(raises_at=raises_at))
    assert all(torch.equal(value, before[name]) for name, value in live.model.state_dict().items())


def test_unknown_method_plan_and_layer_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    live = editable("gpt2", tokenizer)
    with pytest.raises(UnknownMethod):
        propose(live, PRESET.with_overrides({"method": "grace"}))
    with pytest.raises(UnknownPlan):
        propose(live, PRESET.with_overrides({"plan": "sideways"}))
    with pytest.raises(LayerOutOfRange):
        propose(live, PRESET.with_overrides({"layers": (1, 9)}))

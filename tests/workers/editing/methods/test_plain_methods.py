"""RECT, PRUNE, ROME and FT-L give what their equations give, written out plainly: two batches, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tests.support.editing.cast_lifting import lift_casts
from tests.support.editing.families import CONTEXTS, FACTS, FAMILIES, editable, random_priors, relative
from tests.support.editing.sequence import grown
from tests.support.reference.plain_editor import PlainModel, PlainSettings
from tests.support.reference.plain_methods import History, PlainTuning, by_ft_l, by_prune, by_rect, by_rome
from workers.editing.editor import edit
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.priors import plan_layers
from workers.editing.types import LayerPrior

BATCHES = (FACTS[:2], FACTS[2:])
COMMON = Preset((0, 1), v_num_grad_steps=5, mom2_update_weight=0.5)
PRESETS = {
    "rect-boundary": COMMON.with_overrides({"method": "rect"}),
    "rect-even": COMMON.with_overrides({"method": "rect", "plan": "even", "rect_share": 0.25}),
    "rect-history": COMMON.with_overrides({"method": "rect", "history": True}),
    "rect-history-even": COMMON.with_overrides({"method": "rect", "plan": "even", "history": True}),
    "prune-without": COMMON.with_overrides({"method": "prune", "history": False}),
    "prune-boundary": COMMON.with_overrides({"method": "prune"}),
    "prune-even": COMMON.with_overrides({"method": "prune", "plan": "even"}),
    "rome": COMMON.with_overrides({"method": "rome", "clamp_norm_factor": 4.0}),
    "ft-l": COMMON.with_overrides({"method": "ft-l", "num_steps": 6, "lr": 0.01, "norm_constraint": 0.03}),
}


def by_engine(live: EditableModel, preset: Preset, priors: dict[int, LayerPrior]) -> History:
    """Every layer's change against the base model after each batch; the live model stays as it is."""
    layers = plan_layers(preset)
    shadow = live.shadow(layers)
    history = []
    for batch in BATCHES:
        priors = dict(grown(priors, edit(shadow, batch, preset, priors, CONTEXTS, strict=True).updates))
        history.append({layer: shadow.weights(layer).applied - live.master(layer) for layer in layers})
    return history


def by_reference(name: str, live: EditableModel, preset: Preset, priors: dict[int, LayerPrior]) -> History:
    """The same by the plain equations, which edit the live model."""
    family = FAMILIES[name]
    blocks = list(live.model.get_submodule(family.blocks).children())
    projections = [block.get_submodule(family.projection) for block in blocks]
    plain = PlainModel(live.model, live.tokenizer, blocks, projections, conv1d=name == "gpt2")
    settings = PlainSettings(**{field: getattr(preset, field) for field in PlainSettings.__dataclass_fields__})
    batches = [[(fact.subject, fact.prompt, fact.object) for fact in batch] for batch in BATCHES]
    moments: dict[int, Tensor] = {layer: prior.second_moment for layer, prior in priors.items()}
    tuning = PlainTuning(preset.layers[-1], preset.num_steps, preset.lr, preset.norm_constraint)
    ways: dict[str, Callable[[], History]] = {
        "rect": lambda: by_rect(
            plain, batches, settings, CONTEXTS, moments, preset.rect_share, knows_history=preset.history is True
        ),
        "prune": lambda: by_prune(
            plain, batches, settings, CONTEXTS, moments, knows_history=preset.history is not False
        ),
        "rome": lambda: by_rome(plain, batches, settings, CONTEXTS, moments),
        "ft-l": lambda: by_ft_l(plain, batches, tuning),
    }
    return ways[preset.method]()


@pytest.mark.parametrize("case", PRESETS)
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_engine_agrees_with_the_plain_equations(
    name: str, case: str, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = editable(name, tokenizer)
    lift_casts(live.model, monkeypatch)
    priors = random_priors(live, PRESETS[case].layers)
    found = by_engine(live, PRESETS[case], priors)
    expected = by_reference(name, live, PRESETS[case], priors)
    for mine, plain in zip(found, expected, strict=True):
        assert set(mine) == set(plain)
        for layer, change in plain.items():
            assert change.norm() > 1e-3
            assert relative(mine[layer], change) <= 1e-8, f"layer {layer}"

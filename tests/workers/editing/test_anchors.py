"""Norm anchors: values keep the norm that they have on the unedited model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from app.domain.errors import InvalidHyperparameter
from tests.support.editing.cast_lifting import lift_casts
from tests.support.editing.families import CONTEXTS, FACTS, FAMILIES, editable, random_priors, relative
from tests.support.reference.plain_editor import PlainModel, PlainSettings, keys_of, output_of, solve, target_of
from workers.editing import probes
from workers.editing.anchors import anchored
from workers.editing.batch import tokenise_batch
from workers.editing.editor import edit
from workers.editing.keys import outputs_at
from workers.editing.model.anatomy import Site
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource
from workers.editing.statistics import Statistics
from workers.editing.types import LayerPrior

LAYERS = (0, 1)
PRESET = Preset(LAYERS, v_num_grad_steps=5, mom2_update_weight=0.5, norm_anchor=True)
OBJECTS = [subject for _, subject in probes.PROBES[1:]] + [probes.PROBES[0][1]]
PILOTS = [(subject, prompt, object_) for (prompt, subject), object_ in zip(probes.PROBES, OBJECTS, strict=True)]


def of(priors: dict[int, LayerPrior]) -> Statistics:
    return Statistics({layer: prior.second_moment for layer, prior in priors.items()}, tokens=1)


def plain_model(name: str, live: EditableModel) -> PlainModel:
    family = FAMILIES[name]
    blocks = list(live.model.get_submodule(family.blocks).children())
    projections = [block.get_submodule(family.projection) for block in blocks]
    return PlainModel(live.model, live.tokenizer, blocks, projections, conv1d=name == "gpt2")


def value_of(
    plain: PlainModel, layer: int, contexts: tuple[str, ...], fact: tuple[str, str, str]
) -> tuple[Tensor, Tensor]:
    """v* and the residual Z - H of a fact, by the plain descent."""
    subject, prompt, _ = fact
    settings = PlainSettings(**{field: getattr(PRESET, field) for field in PlainSettings.__dataclass_fields__})
    block = plain.blocks[layer]
    residual = target_of(plain, block, contexts, fact, settings) - output_of(plain, block, prompt, subject)
    return output_of(plain, plain.down_projections[layer], prompt, subject) + residual, residual


def plain_anchor(plain: PlainModel, layer: int) -> float:
    """The mean norm of the pilots' values without the longest twentieth of them: of 32, one."""
    norms = sorted(float(value_of(plain, layer, ("{}",), pilot)[0].norm()) for pilot in PILOTS)
    return sum(norms[:31]) / 31


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_engine_agrees_with_the_plain_equations(
    name: str, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = editable(name, tokenizer)
    lift_casts(live.model, monkeypatch)
    priors, plain = random_priors(live, LAYERS), plain_model(name, live)
    source = PriorSource(live, of(priors))
    anchors = source.anchors(PRESET)
    expected_anchors = {layer: plain_anchor(plain, layer) for layer in LAYERS}
    assert anchors == pytest.approx(expected_anchors, rel=1e-9)
    known = {layer: source.at(layer, anchor=anchors[layer]) for layer in LAYERS}
    edited = edit(live.shadow(LAYERS), FACTS, PRESET, known, CONTEXTS, strict=True)
    found = {update.layer: update.dense for update in edited.updates}
    facts = [(fact.subject, fact.prompt, fact.object) for fact in FACTS]
    settings = PlainSettings(**{field: getattr(PRESET, field) for field in PlainSettings.__dataclass_fields__})
    for layer in LAYERS:
        moved = []
        for value, residual in (value_of(plain, layer, tuple(CONTEXTS), fact) for fact in facts):
            moved.append(residual + (expected_anchors[layer] / value.norm() - 1) * value)
        keys, none = keys_of(plain, layer, CONTEXTS, facts), torch.zeros(len(priors[layer].second_moment), 0).double()
        update = solve(settings, keys, torch.stack(moved, dim=1), priors[layer].second_moment, none)
        plain.add(layer, update)
        assert relative(found[layer], update) <= 1e-8


@pytest.mark.parametrize("site", [Site.BLOCK, Site.DOWN_PROJECTION])
def test_values_get_the_anchors_norm_and_keep_their_direction(tokenizer: PreTrainedTokenizerFast, site: Site) -> None:
    live = editable("gpt2", tokenizer)
    facts = tokenise_batch(live, FACTS, CONTEXTS)
    current, given = (outputs_at(live, facts, 1, 4096, at) for at in (site, Site.DOWN_PROJECTION))
    targets = current + torch.randn(current.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before, after = (each - current + given for each in (targets, anchored(live, facts, targets, 1, site, 2.5, 4096)))
    assert torch.allclose(after.norm(dim=0), torch.full((len(FACTS),), 2.5, dtype=torch.float64))
    assert torch.allclose(torch.cosine_similarity(before, after, dim=0), torch.ones(len(FACTS), dtype=torch.float64))


def test_anchors_are_the_unedited_models_whatever_was_edited(tokenizer: PreTrainedTokenizerFast) -> None:
    live = editable("gpt2", tokenizer)
    statistics = of(random_priors(live, LAYERS))
    before = PriorSource(live, statistics).anchors(PRESET)
    edited = live.shadow(LAYERS)
    edit(edited, FACTS, PRESET.with_overrides({"norm_anchor": False}), random_priors(live, LAYERS), CONTEXTS)
    assert not torch.equal(edited.master(0), live.master(0))
    assert PriorSource(edited, statistics).anchors(PRESET) == before, "a restart at a later version finds them again"


def test_only_layers_with_targets_of_their_own_have_one(tokenizer: PreTrainedTokenizerFast) -> None:
    live = editable("gpt2", tokenizer)
    source = PriorSource(live, of(random_priors(live, LAYERS)))
    asked = {
        plan: set(source.anchors(PRESET.with_overrides({"plan": plan}))) for plan in ("boundary", "replay", "even")
    }
    assert asked == {"boundary": {0, 1}, "replay": {0}, "even": {1}}
    assert source.anchors(PRESET.with_overrides({"norm_anchor": False})) == {}
    assert source.anchors(PRESET.with_overrides({"method": "ft-l"})) == {}


def test_it_is_refused_where_no_pilot_fits(tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> None:
    live = editable("gpt2", tokenizer)
    monkeypatch.setattr(probes, "_fitting", lambda *_: iter(()))
    with pytest.raises(InvalidHyperparameter) as caught:
        PriorSource(live, of(random_priors(live, LAYERS))).refuse_unsolvable(PRESET)
    assert caught.value.field == "norm_anchor"

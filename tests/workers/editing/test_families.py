"""On every family the engine gives what the plain reference editor gives, in float64 with the models' casts lifted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tests.support.editing.cast_lifting import lift_casts
from tests.support.editing.families import CONTEXTS, DEPTH, FACTS, FAMILIES, editable, random_priors, relative
from tests.support.editing.sequence import grown
from tests.support.reference.plain_editor import PlainModel, PlainSettings, edit_plainly
from workers.editing.editor import edit
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.types import Fact, LayerPrior

Batches = Sequence[Sequence[Fact]]

BATCHES: Batches = (FACTS[:2], FACTS[2:])
PRESETS = {
    "memit-boundary": Preset((0, 1), v_num_grad_steps=5, mom2_update_weight=0.5),
    "alphaedit-even": Preset((0, 1), method="alphaedit", plan="even", v_num_grad_steps=5, L2=0.1),
}


def by_engine(
    live: EditableModel, batches: Batches, preset: Preset, priors: dict[int, LayerPrior]
) -> list[dict[int, Tensor]]:
    """Updates of every batch; the live model stays as it is."""
    shadow = live.shadow(priors)
    history = []
    for batch in batches:
        updates = edit(shadow, batch, preset, priors, CONTEXTS, strict=True).updates
        priors = grown(priors, updates)
        history.append({update.layer: update.dense for update in updates})
    return history


def by_reference(
    name: str, live: EditableModel, batches: Batches, preset: Preset, priors: dict[int, LayerPrior]
) -> list[dict[int, Tensor]]:
    """Updates of every batch, one fact at a time; edits the live model."""
    family = FAMILIES[name]
    blocks = list(live.model.get_submodule(family.blocks).children())
    projections = [block.get_submodule(family.projection) for block in blocks]
    plain = PlainModel(live.model, live.tokenizer, blocks, projections, conv1d=name == "gpt2")
    settings = PlainSettings(**{field: getattr(preset, field) for field in PlainSettings.__dataclass_fields__})
    plain_batches = [[(fact.subject, fact.prompt, fact.object) for fact in batch] for batch in batches]
    moments = {layer: prior.second_moment for layer, prior in priors.items()}
    return edit_plainly(plain, plain_batches, settings, CONTEXTS, moments)


def check_agreement(name: str, live: EditableModel, batches: Batches, preset: Preset) -> None:
    """The updates of every batch at every layer are the plain editor's."""
    priors = random_priors(live, preset.layers)
    found = by_engine(live, batches, preset, priors)
    expected = by_reference(name, live, batches, preset, priors)
    for mine, plain in zip(found, expected, strict=True):
        assert set(mine) == set(plain) == set(preset.layers)
        for layer, update in plain.items():
            assert update.norm() > 1e-3
            assert relative(mine[layer], update) <= 1e-8, f"layer {layer}"


@pytest.mark.parametrize("case", PRESETS)
@pytest.mark.parametrize("name", FAMILIES)
def test_engine_agrees_with_the_plain_editor(
    name: str, case: str, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = editable(name, tokenizer)
    lift_casts(live.model, monkeypatch)
    check_agreement(name, live, BATCHES, PRESETS[case])


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_targets_at_the_last_block_of_all_agree_where_the_object_follows_the_subject(
    name: str, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left to replay above it, and only the token after the subject hears of δ."""
    live = editable(name, tokenizer)
    lift_casts(live.model, monkeypatch)
    facts = [Fact("Hydrogen", "Therefore you live in {}", "Brazil"), Fact("Lyon", "The capital of {}", "France")]
    check_agreement(name, live, [facts], PRESETS["memit-boundary"].with_overrides({"layers": (0, DEPTH - 1)}))


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3"])
def test_either_attention_implementation_gives_the_same(
    name: str, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for implementation in ("eager", "sdpa"):
        live = editable(name, tokenizer)
        live.model.set_attn_implementation(implementation)
        lift_casts(live.model, monkeypatch)
        found += by_engine(live, BATCHES[:1], PRESETS["memit-boundary"], random_priors(live, (0, 1)))
    assert all(relative(found[0][layer], found[1][layer]) <= 1e-8 for layer in (0, 1))


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3"])
def test_float32_stays_close_to_float64(name: str, tokenizer: PreTrainedTokenizerFast) -> None:
    single, double = (
        by_engine(live, BATCHES[:1], PRESETS["memit-boundary"], random_priors(live, (0, 1)))[0]
        for live in (editable(name, tokenizer, torch.float32), editable(name, tokenizer))
    )
    assert all(relative(single[layer].double(), double[layer]) <= 1e-4 for layer in (0, 1))

"""The engine and the plain reference editor agree: two batches in sequence, both models, both methods, both plans."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from tests.support.editing.cast_lifting import lift_casts
from tests.support.editing.sequence import grown
from tests.support.reference.plain_editor import PlainModel, PlainSettings, edit_plainly
from workers.editing.contexts import read_contexts
from workers.editing.editor import edit
from workers.editing.loading import load
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource, plan_layers
from workers.editing.statistics import Statistics, second_moments
from workers.editing.types import Fact
from workers.models import bundled

LAYERS = (1, 2)
CONTEXTS = 3


def facts_of(folder: Path) -> list[list[Fact]]:
    """Two batches of three real facts, from relations far apart in the file."""
    records = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    chosen = [records[i * (len(records) // 6)]["requested_rewrite"] for i in range(6)]
    facts = [Fact(item["subject"], item["prompt"], item["target_new"]["str"]) for item in chosen]
    return [facts[:3], facts[3:]]


def settings(method: str, plan: str) -> Preset:
    return Preset(
        LAYERS, method=method, plan=plan, v_num_grad_steps=8, mom2_update_weight=30.0, L2=0.5, nullspace_threshold=0.02
    )


@cache
def moments_of(folder: Path) -> Statistics:
    """Second moments over some of the model's corpus, the same ones for both editors."""
    corpus = (folder / "corpus.txt").read_text(encoding="utf-8").splitlines()[:400]
    return second_moments(load(str(folder)), corpus, LAYERS)


def by_engine(live: EditableModel, folder: Path, preset: Preset) -> list[dict[int, Tensor]]:
    """Updates of every batch."""
    source = PriorSource(live, moments_of(folder))
    layers = plan_layers(preset)
    priors = {layer: source.at(layer) for layer in layers}
    shadow = live.shadow(layers)
    contexts = read_contexts(folder / "contexts.json")[:CONTEXTS]
    history = []
    for batch in facts_of(folder):
        updates = edit(shadow, batch, preset, priors, contexts, strict=True).updates
        priors = grown(priors, updates)
        history.append({update.layer: update.dense for update in updates})
    return history


def by_reference(live: EditableModel, folder: Path, preset: Preset) -> list[dict[int, Tensor]]:
    """The same by the plain editor, which edits the model in place."""
    gpt2 = "gpt2" in folder.name
    model: Any = live.model
    inner = model.transformer.h if gpt2 else model.model.layers
    plain = PlainModel(
        model,
        live.tokenizer,
        list(inner),
        [block.mlp.c_proj if gpt2 else block.mlp.down_proj for block in inner],
        conv1d=gpt2,
    )
    names = PlainSettings.__dataclass_fields__
    plain_settings = PlainSettings(**{name: getattr(preset, name) for name in names})
    contexts = read_contexts(folder / "contexts.json")[:CONTEXTS]
    batches = [[(fact.subject, fact.prompt, fact.object) for fact in batch] for batch in facts_of(folder)]
    return edit_plainly(plain, batches, plain_settings, contexts, moments_of(folder).second_moments)


def largest_difference(found: list[dict[int, Tensor]], expected: list[dict[int, Tensor]]) -> float:
    """Largest relative difference (Frobenius) of any layer's update in any batch."""
    assert [set(one) for one in found] == [set(one) for one in expected]
    return max(
        float((found[i][layer] - update).norm() / update.norm())
        for i, updates in enumerate(expected)
        for layer, update in updates.items()
    )


@pytest.mark.parametrize("plan", ["boundary", "even"])
@pytest.mark.parametrize("method", ["memit", "alphaedit"])
@pytest.mark.parametrize("name", ["atlas-gpt2", "atlas-llama"])
def test_engine_agrees_with_the_plain_editor_in_float64(
    name: str, method: str, plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bundled(name)
    live = load(str(folder), dtype="float64")
    lift_casts(live.model, monkeypatch)  # nothing to lift on GPT-2
    preset = settings(method, plan)
    found = by_engine(live, folder, preset)
    expected = by_reference(live, folder, preset)
    assert largest_difference(found, expected) <= 1e-8


@pytest.mark.parametrize("method", ["memit", "alphaedit"])
def test_llama_agrees_within_its_own_float32_norms(method: str) -> None:
    folder = bundled("atlas-llama")
    live = load(str(folder), dtype="float64")
    preset = settings(method, "boundary")
    found = by_engine(live, folder, preset)
    expected = by_reference(live, folder, preset)
    assert largest_difference(found, expected) <= 1e-3


def test_the_difference_would_be_seen() -> None:
    """A check that can fail: one hyperparameter off by a percent is far above the bound."""
    folder = bundled("atlas-gpt2")
    live = load(str(folder), dtype="float64")
    preset = settings("memit", "boundary")
    found = by_engine(live, folder, preset.with_overrides({"v_weight_decay": 0.505}))
    assert largest_difference(found, by_reference(live, folder, preset)) > 1e-6

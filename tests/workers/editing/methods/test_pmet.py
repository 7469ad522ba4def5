"""PMET: δ on attention and MLP together, the MLP's alone solved for, by any plan and in any family."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from app.domain.errors import InvalidHyperparameter
from tests.support.editing.cast_lifting import lift_casts
from tests.support.editing.families import CONTEXTS, DEPTH, FACTS, FAMILIES, editable, random_priors, relative
from tests.support.editing.remembering import Witness
from tests.support.editing.sequence import grown
from tests.support.reference.plain_editor import PlainModel, PlainSettings
from tests.support.reference.plain_pmet import edit_by_pmet
from workers.editing.batch import tokenise_batch
from workers.editing.descent.targets import targets_at
from workers.editing.editor import edit
from workers.editing.groups import group_by_key
from workers.editing.keys import outputs_at
from workers.editing.methods import find_method
from workers.editing.model.anatomy import Site
from workers.editing.model.editable_model import EditableModel
from workers.editing.objective import Objective
from workers.editing.presets import find_preset
from workers.editing.presets.preset import Preset, read_preset
from workers.editing.text.joint import object_ids
from workers.editing.text.model_text import ModelText
from workers.editing.types import Fact, Silent

BATCHES = (FACTS[:2], FACTS[2:])
PRESET = Preset((0, 1), "pmet", v_num_grad_steps=5, mom2_update_weight=0.5)
PMET = find_method("pmet").objective
SLOW = PRESET.with_overrides({"v_num_grad_steps": 16, "v_lr": 0.01})
LEANING = Fact("Lyon", "The capital of {}", "of")
"""Its object is the token that ``leaning`` models lean toward."""

Batches = Sequence[Sequence[Fact]]


def leaning(tokenizer: PreTrainedTokenizerFast, weight: float) -> EditableModel:
    """A GPT-2 that leans toward one token wherever it is: from weight 2.5 on it always is the likeliest one here."""
    live = editable("gpt2", tokenizer)
    (token,) = object_ids(ModelText.of(tokenizer), LEANING.object)
    norm: Any = live.anatomy.final_norm
    norm.bias += weight * live.model.get_output_embeddings().weight[token]  # type: ignore[no-untyped-call]
    return live


def by_engine(live: EditableModel, batches: Batches, preset: Preset) -> list[dict[int, Tensor]]:
    """Updates of every batch; the live model stays as it is."""
    priors = random_priors(live, preset.layers)
    shadow, history = live.shadow(priors), []
    for batch in batches:
        found = edit(shadow, batch, preset, priors, CONTEXTS, strict=True).updates
        priors = dict(grown(priors, found))
        history.append({update.layer: update.dense for update in found})
    return history


def by_reference(name: str, live: EditableModel, batches: Batches, preset: Preset) -> list[dict[int, Tensor]]:
    """Updates of every batch, one fact at a time; edits the live model."""
    family = FAMILIES[name]
    blocks = list(live.model.get_submodule(family.blocks).children())
    projections = [block.get_submodule(family.projection) for block in blocks]
    attentions = [block.get_submodule(family.attention) for block in blocks]
    plain = PlainModel(live.model, live.tokenizer, blocks, projections, conv1d=name == "gpt2")
    values = {**preset.as_dict(), "method": "memit"}  # whose solve it is
    settings = PlainSettings(**{field: values[field] for field in PlainSettings.__dataclass_fields__})
    plain_batches = [[(fact.subject, fact.prompt, fact.object) for fact in batch] for batch in batches]
    moments = {layer: prior.second_moment for layer, prior in random_priors(live, preset.layers).items()}
    return edit_by_pmet(plain, attentions, plain_batches, settings, CONTEXTS, moments)


def largest_difference(found: list[dict[int, Tensor]], expected: list[dict[int, Tensor]]) -> float:
    """Largest relative difference of any layer's update in any batch."""
    assert [set(one) for one in found] == [set(one) for one in expected]
    return max(
        relative(mine[layer], update)
        for mine, plain in zip(found, expected, strict=True)
        for layer, update in plain.items()
    )


def outputs(live: EditableModel, facts: Sequence[Fact], site: Site) -> Tensor:
    return outputs_at(live, tokenise_batch(live, facts, CONTEXTS), 1, 4096, site)


def targets(
    live: EditableModel, facts: Sequence[Fact], preset: Preset, objective: Objective, observer: Witness | None = None
) -> Tensor:
    """Targets (d_out, facts) at layer 1."""
    tokenised = tokenise_batch(live, facts, CONTEXTS)
    groups = group_by_key(tokenised, strict=True)
    return targets_at(live, tokenised, groups, 1, objective, preset, observer or Silent())


class TestAgreementWithThePlainReference:
    @pytest.mark.parametrize(
        ("name", "plan"),
        [
            ("gpt2", "sqrt"),
            ("gpt2", "even"),
            ("gpt2", "boundary"),
            ("gptj", "sqrt"),
            ("gpt-neox", "boundary"),
            ("llama", "sqrt"),
            ("gemma2", "boundary"),
            ("gemma3", "sqrt"),
            ("phi3", "boundary"),
            ("olmo2", "sqrt"),
            ("opt", "boundary"),
        ],
    )
    def test_two_batches_in_sequence(
        self, name: str, plan: str, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Attention beside the MLP or before it, norms before or after both, rows flattened or not."""
        live, preset = editable(name, tokenizer), PRESET.with_overrides({"plan": plan})
        lift_casts(live.model, monkeypatch)
        found = by_engine(live, BATCHES, preset)
        assert largest_difference(found, by_reference(name, live, BATCHES, preset)) <= 1e-8

    def test_targets_at_the_last_block_of_all(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """That block is replayed, though none lies above it."""
        live, preset = editable("gpt2", tokenizer), PRESET.with_overrides({"layers": (0, DEPTH - 1)})
        batches = [[Fact("Hydrogen", "Therefore you live in {}", "Brazil"), LEANING]]
        found = by_engine(live, batches, preset)
        assert largest_difference(found, by_reference("gpt2", live, batches, preset)) <= 1e-8

    @pytest.mark.parametrize(("weight", "ends_early"), [(1.5, False), (2.0, True)])
    def test_a_fact_that_eases_and_perhaps_ends(
        self, weight: float, ends_early: bool, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        live, witness, batch = leaning(tokenizer, weight), Witness(), [FACTS[0], LEANING]
        targets(live, batch, SLOW, PMET, witness)
        assert bool(witness.heard[-1][4]) is ends_early
        found = by_engine(live, [batch], SLOW)
        assert largest_difference(found, by_reference("gpt2", live, [batch], SLOW)) <= 1e-8


class TestObjective:
    def test_what_the_model_says_in_every_context_is_left_as_it_is(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live, witness = leaning(tokenizer, 3.0), Witness()
        found = targets(live, [LEANING], SLOW, PMET, witness)
        assert len(witness.heard) == 1
        assert witness.heard[0][3] > 0.05, "its loss alone would not have ended it"
        assert torch.equal(found, outputs(live, [LEANING], Site.DOWN_PROJECTION))

    def test_easing_asks_less_of_the_weights(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Once the object is the likeliest, it counts ten times less against the essence and the decay."""
        live = leaning(tokenizer, 1.5)
        weighed = SLOW.with_overrides({"kl_factor": 1.0, "v_num_grad_steps": 25})
        eased = targets(live, [LEANING], weighed, PMET)
        full = targets(live, [LEANING], weighed, Objective(PMET.sites))
        start = outputs(live, [LEANING], Site.DOWN_PROJECTION)
        assert (eased - start).norm() < 0.95 * (full - start).norm()

    def test_each_shift_stays_within_its_own_clamp(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        preset = PRESET.with_overrides({"v_lr": 1.0, "clamp_norm_factor": 0.3})
        for site in PMET.sites:
            sites = (site, *(other for other in PMET.sites if other is not site))
            start = outputs(live, FACTS, site)
            shift = (targets(live, FACTS, preset, Objective(sites, PMET.easing)) - start).norm(dim=0)
            bound = 0.3 * start.norm(dim=0)
            assert bool((shift <= bound * (1 + 1e-12)).all())
            assert bool((shift >= bound * 0.5).any())

    def test_attentions_shift_changes_what_the_mlp_is_asked_for(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        together = targets(live, FACTS, PRESET, PMET)
        alone = targets(live, FACTS, PRESET, Objective((Site.DOWN_PROJECTION,), PMET.easing))
        assert relative(together, alone) > 1e-3


class TestSettings:
    @pytest.mark.parametrize(
        ("source", "plan", "clamp", "weight"),
        [
            ("gpt2-xl", "boundary", 2.0, 10000.0),
            ("gpt2-xl", "sqrt", 2.0, 10000.0),
            ("gpt-j-6b", "boundary", 0.75, 1000.0),
            ("gpt-j-6b", "sqrt", 0.75, 15000.0),
            ("meta-llama-3-8b", "boundary", 0.75, 15000.0),
        ],
    )
    def test_published_ones_of_each_model(self, source: str, plan: str, clamp: float, weight: float) -> None:
        found = find_preset(source, 48, "pmet", plan)
        memit = find_preset(source, 48, "memit", plan)
        values = {"method": "pmet", "clamp_norm_factor": clamp, "mom2_update_weight": weight}
        assert found == memit.with_overrides(values)

    def test_the_boundary_plan_is_its_default_too(self) -> None:
        assert find_preset("gpt2-xl", 48, "pmet").plan == "boundary"

    @pytest.mark.parametrize("name", ["PMET", "PMET_BLUE"])
    def test_published_files_name_it(self, name: str, tmp_path: Path) -> None:
        file = tmp_path / "hparams.yml"
        file.write_text(f"alg_name: {name}\nlayers: [3, 4]\nnll_loss_factor: 1\nkl_factor: 1\n", encoding="utf-8")
        assert read_preset(file) == Preset((3, 4), "pmet", kl_factor=1.0)

    def test_another_weight_of_the_loss_is_refused_by_name(self, tmp_path: Path) -> None:
        file = tmp_path / "hparams.json"
        file.write_text('{"layers": [3], "nll_loss_factor": 0.5}', encoding="utf-8")
        with pytest.raises(InvalidHyperparameter) as caught:
            read_preset(file)
        assert caught.value.field == "nll_loss_factor"


class TestSites:
    @pytest.mark.parametrize("name", FAMILIES)
    def test_attention_and_down_projection_are_found(self, name: str, tokenizer: PreTrainedTokenizerFast) -> None:
        live, family = editable(name, tokenizer, torch.float32), FAMILIES[name]
        for layer in range(DEPTH):
            block = live.block(layer)
            assert live.site(layer, Site.ATTENTION) is block.get_submodule(family.attention)
            assert live.site(layer, Site.DOWN_PROJECTION) is block.get_submodule(family.projection)
            assert live.site(layer, Site.BLOCK) is block

    def test_nothing_is_left_on_the_model(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        targets(live, FACTS, PRESET, PMET)
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in live.model.modules())

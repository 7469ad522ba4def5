"""The share of its residual that a fact realises, and the ridge that a share asks for."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from app.domain.errors import InvalidHyperparameter
from tests.support.editing.families import INNER, editable, random_second_moment
from workers.editing.algebra.layer_base import LayerBase
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.editor import edit
from workers.editing.knowledge import KnowledgeBase
from workers.editing.methods import METHODS
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets import find_preset
from workers.editing.presets.preset import Preset, read_preset
from workers.editing.priors import PriorSource
from workers.editing.shares import free_q_of, q_of, realised_shares, ridge_for_share
from workers.editing.statistics import Statistics
from workers.editing.types import Fact, LayerPrior

FREE = 0.02
LAYERS = (0, 2)
FACT = Fact("Lyon", "{} is located in the country of", "Japan")


def random_keys(count: int, seed: int = 1) -> Tensor:
    return torch.randn(INNER, count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def live(tokenizer: PreTrainedTokenizerFast) -> EditableModel:
    return editable("gpt2", tokenizer)


def source_of(live: EditableModel) -> PriorSource:
    return PriorSource(live, Statistics({layer: random_second_moment(INNER, layer) for layer in LAYERS}, tokens=1))


class TestLeverage:
    def test_it_is_the_quadratic_form_of_the_inverse(self) -> None:
        moment, keys = random_second_moment(INNER), random_keys(7)
        expected = torch.diagonal(keys.T @ torch.linalg.inv(moment) @ keys)
        assert torch.allclose(q_of(keys, LayerBase.of(moment)), expected, rtol=1e-9)

    def test_where_c_is_singular_what_lies_outside_of_it_does_not_count(self) -> None:
        seen = random_keys(5)
        base = LayerBase.of(seen @ seen.T)
        assert base.weighted is None
        inside, outside = seen[:, :2], torch.linalg.svd(seen).U[:, 5:7]
        found = q_of(torch.cat([inside + outside, inside], dim=1), base)
        assert torch.allclose(found[:2], found[2:], rtol=1e-6)
        assert torch.allclose(found[2:], torch.ones(2, dtype=torch.float64), rtol=1e-6)

    def test_within_the_null_space_it_is_the_squared_length_there(self) -> None:
        moment, keys = random_second_moment(INNER), random_keys(7)
        values, vectors = torch.linalg.eigh(moment)
        free = vectors[:, values < FREE]
        assert torch.allclose(free_q_of(keys, LayerBase.of(moment), FREE), (free.T @ keys).square().sum(0))

    @pytest.mark.parametrize("seed", range(5))
    def test_what_rounding_leaves_of_a_singular_c_in_float32_counts_for_nothing(self, seed: int) -> None:
        """Its least eigenvalues are of either sign: by their inverses q would be any number, also a negative one."""
        seen = random_keys(5, seed)
        moment = seen @ seen.T
        rounded = LayerBase.of(moment.float())
        assert rounded.weighted is None
        keys = random_keys(7, seed + 100)
        assert torch.allclose(q_of(keys, rounded), q_of(keys, LayerBase.of(moment)), rtol=1e-4)

    @pytest.mark.parametrize(("threshold", "free"), [(1e-5, False), (1e-3, True), (2.0, True)])
    def test_a_threshold_below_all_eigenvalues_frees_nothing(self, threshold: float, free: bool) -> None:
        base = LayerBase.of(random_second_moment(INNER))
        assert base.frees(threshold) is free
        q = free_q_of(random_keys(7), base, threshold)
        assert bool((q > 0).all()) is free


class TestShares:
    @pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.leverage is not None])
    @pytest.mark.parametrize("share", [0.1, 0.75, 0.99])
    def test_a_lone_fact_of_median_leverage_realises_the_share_asked_for(self, method: str, share: float) -> None:
        base, keys, preset = LayerBase.of(random_second_moment(INNER)), random_keys(31), Preset((0,), method=method)
        found = METHODS[method]
        assert found.leverage is not None
        assert found.right_factor is not None
        q = found.leverage(keys, base, preset)
        prior = LayerPrior(base, PreviousKeys.empty(INNER), ridge_for_share(q, share))
        shares = torch.cat([realised_shares(found.right_factor(k, prior, preset), k) for k in keys.T[:, :, None]])
        assert float(shares.median()) == pytest.approx(share, rel=1e-9)
        assert torch.allclose(shares, q / (ridge_for_share(q, share) + q), rtol=1e-9)

    def test_a_facts_share_is_its_columns_own(self) -> None:
        right, keys = random_keys(3, seed=5).T, random_keys(3)
        assert torch.allclose(realised_shares(right, keys), torch.diagonal(right @ keys))


class TestPrecedence:
    def test_a_number_goes_before_a_share_and_a_later_share_before_a_number(self) -> None:
        preset = Preset((0,), share=0.75)
        assert preset.with_overrides({"mom2_update_weight": 3.0}).share is None
        assert preset.with_overrides({"share": 0.5, "mom2_update_weight": 3.0}).share is None
        assert preset.with_overrides({"mom2_update_weight": 3.0}).with_overrides({"share": 0.5}).share == 0.5

    def test_only_the_methods_own_number_does(self) -> None:
        preset = Preset((0,), share=0.75)
        assert preset.with_overrides({"L2": 3.0}).share == 0.75
        assert preset.with_overrides({"L2": 3.0, "method": "alphaedit"}).share is None
        assert preset.with_overrides({"mom2_update_weight": 3.0, "method": "alphaedit"}).share == 0.75

    def test_a_file_may_say_either(self, tmp_path: Path) -> None:
        file = tmp_path / "preset.json"
        file.write_text(json.dumps({"layers": [1], "share": 0.6}))
        assert read_preset(file).share == 0.6
        file.write_text(json.dumps({"layers": [1], "share": 0.6, "mom2_update_weight": 10}))
        assert (read_preset(file).share, read_preset(file).mom2_update_weight) == (None, 10.0)

    @pytest.mark.parametrize("share", [0.0, -0.1, 1.0, 1.5, math.nan, "much", True])
    def test_a_share_is_between_nothing_and_all(self, share: object) -> None:
        with pytest.raises(InvalidHyperparameter) as caught:
            Preset((0,)).with_overrides({"share": share})
        assert caught.value.field == "share"

    def test_a_model_that_nobody_has_seen_gets_a_share_and_known_ones_keep_their_numbers(self) -> None:
        assert (find_preset("somebody/something", 30).share, find_preset("somebody/something", 30).v_lr) == (0.75, 0.2)
        for known in ("gpt2-xl", "EleutherAI/gpt-j-6b", "atlas-gpt2", "atlas-llama"):
            assert find_preset(known, 48).share is None


class TestRidges:
    def test_without_a_share_it_is_the_presets_number(self, live: EditableModel) -> None:
        source = source_of(live)
        assert source.ridges(Preset(LAYERS, mom2_update_weight=7.0)) == {0: 7.0, 2: 7.0}
        assert source.ridges(Preset(LAYERS, "alphaedit", L2=7.0)) == {0: 7.0, 2: 7.0}
        assert source.ridges(Preset(LAYERS, "rome", share=0.5)) == {}
        assert source.ridges(Preset(LAYERS, "ft-l", share=0.5)) == {}

    def test_it_differs_by_layer_and_kind_and_is_found_once(self, live: EditableModel) -> None:
        source = source_of(live)
        memit, alphaedit = (source.ridges(Preset(LAYERS, method, share=0.5)) for method in ("memit", "alphaedit"))
        assert len({*memit.values(), *alphaedit.values()}) == 4
        assert source.ridges(Preset(LAYERS, "rect", share=0.5)) == memit
        assert source.ridges(Preset(LAYERS, share=0.75)) == pytest.approx({at: one / 3 for at, one in memit.items()})
        live.model.forward = None  # type: ignore[assignment]  # whoever runs it now fails
        assert source.ridges(Preset(LAYERS, share=0.5)) == memit

    def test_it_is_the_base_models_whatever_was_edited_since(self, live: EditableModel) -> None:
        before = source_of(live).ridges(Preset(LAYERS, share=0.5))
        live.set_master(0, live.master(0) * 2)
        assert source_of(live).ridges(Preset(LAYERS, share=0.5)) == before
        assert torch.equal(live.weight(0), live.base(0) * 2)

    def test_an_edit_by_share_is_the_edit_by_its_ridges(self, live: EditableModel) -> None:
        source, contexts = source_of(live), ("{}",)
        preset = Preset((0,), v_num_grad_steps=3, share=0.6)
        ridge = source.ridges(preset)[0]
        by_number = replace(preset, share=None, mom2_update_weight=ridge)
        made = []
        for each in (preset, by_number):
            admission = KnowledgeBase().admit([FACT], (0,), strict=False)
            made.append(edit(live.shadow((0,)), [FACT], each, admission.priors(source, each), contexts).updates[0])
        assert torch.equal(made[0].dense, made[1].dense)

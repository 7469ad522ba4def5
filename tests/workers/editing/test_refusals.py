"""What looks like it could be edited and cannot, and input that must not slip through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BloomConfig,
    Lfm2Config,
    MambaConfig,
    PreTrainedTokenizerFast,
    Qwen2MoeConfig,
    RecurrentGemmaConfig,
)

from app.domain.errors import (
    AmbiguousSubject,
    EmptyText,
    InvalidHyperparameter,
    JobFailed,
    LayerOutOfRange,
    ModelMismatch,
    PalimpsestError,
    RequestError,
    UnsupportedArchitecture,
)
from app.domain.prompts import with_slot
from tests.support.editing.families import CONTEXTS, FACTS, WINDOW, editable, random_model, random_priors
from tests.workers.conftest import WORDS
from workers.editing.algebra.layer_base import LayerBase
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.contexts import read_contexts
from workers.editing.descent.compatibility import check_replay
from workers.editing.editor import edit
from workers.editing.lookup import tokenise
from workers.editing.methods import memit
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets.preset import Preset, read_preset
from workers.editing.statistics import load_statistics, save_statistics, second_moments
from workers.editing.text.model_text import ModelText
from workers.editing.types import Fact, LayerPrior

PRESET = Preset((0, 1), v_num_grad_steps=3, mom2_update_weight=0.5)
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}


class TestArchitectures:
    def test_rows_and_tokens_may_be_flattened(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("opt", tokenizer)
        edit(live.shadow((0, 1)), FACTS, PRESET, random_priors(live, (0, 1)), CONTEXTS)
        second_moments(live, WORDS, (0,))

    @pytest.mark.parametrize(
        ("name", "more", "projection"),
        [
            ("gpt2", {"n_inner": 32}, "transformer.h.0.mlp.c_proj"),
            ("llama", {"intermediate_size": 32}, "model.layers.0.mlp.down_proj"),
        ],
    )
    def test_the_last_of_a_square_mlp_goes_down(
        self, tokenizer: PreTrainedTokenizerFast, name: str, more: dict[str, Any], projection: str
    ) -> None:
        assert editable(name, tokenizer, **more).anatomy.projections[0] == projection

    def test_a_shared_expert_is_not_the_mlp(self, tokenizer: PreTrainedTokenizerFast) -> None:
        config = Qwen2MoeConfig(num_experts=4, moe_intermediate_size=16, shared_expert_intermediate_size=24, **SMALL)
        with pytest.raises(UnsupportedArchitecture):
            EditableModel.of(random_model(config), tokenizer)

    def test_a_model_without_a_window_is_refused(self, tokenizer: PreTrainedTokenizerFast) -> None:
        config = BloomConfig(hidden_size=32, n_layer=3, n_head=4, vocab_size=300, bos_token_id=0, eos_token_id=0)
        with pytest.raises(UnsupportedArchitecture):
            EditableModel.of(random_model(config), tokenizer)

    @pytest.mark.parametrize(
        ("config", "more"),
        [
            (Lfm2Config, {"layer_types": ["conv", "full_attention", "conv"]}),
            (RecurrentGemmaConfig, {"lru_width": 32}),
            (MambaConfig, {}),
        ],
    )
    def test_layers_with_a_running_state_are_refused(
        self, tokenizer: PreTrainedTokenizerFast, config: Any, more: dict[str, Any]
    ) -> None:
        with pytest.raises(UnsupportedArchitecture):
            check_replay(EditableModel.of(random_model(config(**{**SMALL, **more})), tokenizer))

    @pytest.mark.parametrize("name", ["gemma2", "llama", "gpt-neox"])
    def test_eager_attention_in_float64_sees_no_empty_rows(self, tokenizer: PreTrainedTokenizerFast, name: str) -> None:
        live = editable(name, tokenizer)
        live.model.set_attn_implementation("eager")
        edit(live.shadow((0, 1)), FACTS, PRESET, random_priors(live, (0, 1)), CONTEXTS)

    def test_a_shadow_made_for_other_layers_leaves_the_live_model_alone(
        self, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        live = editable("gpt2", tokenizer)
        before = live.weight(1).clone()
        with pytest.raises(LayerOutOfRange):
            edit(live.shadow((0,)), FACTS, PRESET, random_priors(live, (0, 1)), CONTEXTS)
        assert torch.equal(live.weight(1), before)


class TestSolves:
    def test_a_solve_without_an_answer_is_an_edit_that_failed(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        priors = random_priors(live, (0, 1))
        nan = torch.full((live.key_width(0), 1), torch.nan)
        priors[0] = priors[0].with_previous_keys(priors[0].previous_keys.append(nan))
        with pytest.raises(JobFailed) as caught:
            edit(live.shadow((0, 1)), FACTS, replace(PRESET, method="alphaedit"), priors, CONTEXTS)
        assert caught.value.value == 0

    def test_memit_does_not_answer_for_a_direction_that_nothing_fills(self) -> None:
        keys, moment = torch.randn(6, 2, dtype=torch.float64), torch.eye(6, dtype=torch.float64)
        keys[3], moment[3, 3] = 0, 0
        with pytest.raises(torch.linalg.LinAlgError):  # type: ignore[attr-defined]
            memit.right_factor(keys, LayerPrior(LayerBase.of(moment), PreviousKeys.empty(6)), PRESET)

    def test_nan_keys_are_an_edit_that_failed(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer)
        live.model.get_parameter("transformer.h.0.mlp.c_fc.weight").data[0, 0] = float("nan")
        once = PRESET.with_overrides({"v_num_grad_steps": 1, "method": "alphaedit"})
        with pytest.raises(PalimpsestError):
            edit(live.shadow((0, 1)), FACTS, once, random_priors(live, (0, 1)), CONTEXTS)


class TestPresets:
    @pytest.mark.parametrize(
        "text",
        [
            '{"layers": 5}',
            '{"layers": ["a"]}',
            '{"layers": null}',
            '{"layers": [1.5]}',
            'layers: "345"',
            '{"layers": [1',
            "layers: [1]\n\tx: 1",
            '{"layers": [-1, 2]}',
            '{"layers": [true, 2]}',
        ],
    )
    def test_a_file_that_means_nothing_is_named(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "p").write_text(text)
        with pytest.raises(InvalidHyperparameter):
            read_preset(tmp_path / "p")

    def test_a_binary_file_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "p").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(InvalidHyperparameter):
            read_preset(tmp_path / "p")

    @pytest.mark.parametrize(
        "values",
        [
            {"layers": "123"},
            {"layers": [1.5]},
            {"layers": [True, 2]},
            {"layers": [-1, 2]},
            {"v_weight_decay": True},
            {"method": ["memit"]},
        ],
    )
    def test_a_value_of_another_type_is_refused(self, values: dict[str, Any]) -> None:
        with pytest.raises(InvalidHyperparameter):
            Preset((1,)).with_overrides(values)


class TestText:
    @pytest.mark.parametrize("subject", ["", " "])
    def test_an_empty_subject_is_empty_before_it_is_anything_else(
        self, tokenizer: PreTrainedTokenizerFast, subject: str
    ) -> None:
        with pytest.raises(EmptyText):
            tokenise(ModelText.of(tokenizer), Fact(subject, "Lyon is in", "France"), CONTEXTS, WINDOW)

    def test_overlapping_occurrences_count(self) -> None:
        with pytest.raises(AmbiguousSubject):
            with_slot("ana", "banana is")
        with pytest.raises(AmbiguousSubject):
            with_slot("aa", "aaa is")

    def test_half_a_surrogate_pair_is_refused(self, tokenizer: PreTrainedTokenizerFast) -> None:
        with pytest.raises(RequestError):
            tokenise(ModelText.of(tokenizer), Fact("Ly\ud800on", "{} is in", "France"), CONTEXTS, WINDOW)

    def test_the_name_of_a_special_token_is_text(self, tokenizer: PreTrainedTokenizerFast) -> None:
        fact = Fact("Lyon <|endoftext|>", "{} is in", "<|endoftext|>")
        found = tokenise(ModelText.of(tokenizer), fact, CONTEXTS, WINDOW)
        assert 0 not in found.object
        assert 0 not in found.prompts[0].ids


class TestFiles:
    def test_contexts_that_are_no_json_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "c.json").write_text('["{}"')
        with pytest.raises(ModelMismatch):
            read_contexts(tmp_path / "c.json")

    def test_statistics_serve_the_same_checkpoint_in_another_dtype(
        self, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
    ) -> None:
        save_statistics(second_moments(editable("llama", tokenizer, torch.float32), WORDS, (0,)), tmp_path / "s")
        assert load_statistics(tmp_path / "s", editable("llama", tokenizer, torch.bfloat16)).tokens > 0

    def test_statistics_know_an_edited_model_again(self, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
        live = editable("llama", tokenizer, torch.float32)
        save_statistics(second_moments(live, WORDS, (0,)), tmp_path / "s")
        live.set_master(0, live.master(0) + 1e-3)
        assert load_statistics(tmp_path / "s", live).tokens > 0

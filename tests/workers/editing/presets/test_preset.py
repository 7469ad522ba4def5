"""Hyperparameters: published files are read as they are, and nothing senseless gets through."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

import pytest

from app.domain.errors import InvalidHyperparameter
from workers.editing import presets
from workers.editing.presets import choose_preset, find_preset
from workers.editing.presets.preset import Preset, read_preset
from workers.editing.priors import plan_layers

MEMIT_JSON = """{
    "layers": [13, 14, 15, 16, 17], "clamp_norm_factor": 0.75, "layer_selection": "all",
    "fact_token": "subject_last", "v_num_grad_steps": 20, "v_lr": 5e-1, "v_loss_layer": 47, "v_weight_decay": 0.5,
    "kl_factor": 0.0625, "mom2_adjustment": true, "mom2_update_weight": 20000,
    "rewrite_module_tmp": "transformer.h.{}.mlp.c_proj", "layer_module_tmp": "transformer.h.{}",
    "mlp_module_tmp": "transformer.h.{}.mlp", "attn_module_tmp": "transformer.h.{}.attn",
    "ln_f_module": "transformer.ln_f", "lm_head_module": "transformer.wte", "mom2_dataset": "wikipedia",
    "mom2_n_samples": 100000, "mom2_dtype": "float32"
}"""

ALPHAEDIT_JSON = """{
    "model_name": "Llama3-8B", "layers": [4, 5, 6, 7, 8], "clamp_norm_factor": 0.75, "layer_selection": "all",
    "fact_token": "subject_last", "v_num_grad_steps": 25, "v_lr": 0.1, "v_loss_layer": 31, "v_weight_decay": 0.5,
    "kl_factor": 0.0625, "mom2_adjustment": true, "mom2_update_weight": 15000, "nullspace_threshold": 2e-2, "L2": 10,
    "rewrite_module_tmp": "model.layers.{}.mlp.down_proj", "mom2_dtype": "float32"
}"""

ROME_JSON = """{
    "layers": [5], "fact_token": "subject_last", "v_num_grad_steps": 25, "v_lr": 5e-1, "v_loss_layer": 31,
    "v_weight_decay": 1e-3, "clamp_norm_factor": 4, "kl_factor": 0.0625, "mom2_adjustment": false,
    "context_template_length_params": [[5, 10], [10, 10]], "rewrite_module_tmp": "model.layers.{}.mlp.down_proj",
    "mom2_dataset": "wikipedia", "mom2_n_samples": 100000, "mom2_dtype": "float32"
}"""

FT_JSON = """{
    "layers": [0], "num_steps": 25, "lr": 5e-4, "weight_decay": 0, "kl_factor": 0, "norm_constraint": 5e-5,
    "rewrite_module_tmp": "transformer.h.{}.mlp.fc_out", "lm_head_module": "lm_head"
}"""

EASYEDIT_YAML = """
alg_name: "AlphaEdit"
model_name: "./hugging_cache/gpt-j-6b"
stats_dir: "./data/stats"
device: 0
layers: [3, 4, 5, 6, 7, 8]
clamp_norm_factor: 0.75
layer_selection: "all"
fact_token: "subject_last"
v_num_grad_steps: 25
v_lr: 5e-1
v_loss_layer: 27
v_weight_decay: 0.5
kl_factor: 0.0625
mom2_adjustment: true
mom2_update_weight: 15000
rewrite_module_tmp: "transformer.h.{}.mlp.fc_out"
mom2_dataset: "wikipedia"
nullspace_threshold: 2e-2
L2: 1e1
P_loc: "./null_space_project.pt"
model_parallel: false
"""


def file(folder: Path, text: str) -> Path:
    path = folder / "hparams"
    path.write_text(text, encoding="utf-8")
    return path


class TestPublishedFiles:
    def test_memit_json(self, tmp_path: Path) -> None:
        assert read_preset(file(tmp_path, MEMIT_JSON)) == Preset(
            (13, 14, 15, 16, 17), v_num_grad_steps=20, v_lr=0.5, mom2_update_weight=20000.0
        )

    def test_alphaedit_json_names_no_method_and_takes_the_callers(self, tmp_path: Path) -> None:
        found = choose_preset("any", 32, file(tmp_path, ALPHAEDIT_JSON), method="alphaedit", plan="even")
        assert found == Preset(
            (4, 5, 6, 7, 8),
            "alphaedit",
            "even",
            v_lr=0.1,
            mom2_update_weight=15000.0,
            L2=10.0,
            nullspace_threshold=0.02,
        )

    def test_rome_json(self, tmp_path: Path) -> None:
        assert choose_preset("any", 32, file(tmp_path, ROME_JSON), method="rome") == Preset(
            (5,), "rome", v_lr=0.5, v_weight_decay=1e-3, clamp_norm_factor=4.0, mom2_adjustment=False
        )

    def test_bounded_fine_tuning_json(self, tmp_path: Path) -> None:
        assert choose_preset("any", 28, file(tmp_path, FT_JSON), method="ft-l") == Preset(
            (0,), "ft-l", num_steps=25, lr=5e-4, norm_constraint=5e-5, kl_factor=0.0
        )

    def test_easyedit_yaml_with_numbers_that_yaml_reads_as_strings(self, tmp_path: Path) -> None:
        found = read_preset(file(tmp_path, EASYEDIT_YAML))
        assert (found.method, found.layers) == ("alphaedit", (3, 4, 5, 6, 7, 8))
        assert (found.v_lr, found.L2, found.nullspace_threshold) == (0.5, 10.0, 0.02)

    def test_encore_json(self, tmp_path: Path) -> None:
        text = '{"layers": [4, 8], "v_lr": 5e-1, "update_norm_lambda": 20, "prob_cutoff": -2, "alg_name": "ENCORE"}'
        expected = Preset((4, 8), v_lr=0.5, update_norm_lambda=20.0, early_stop=2)
        assert read_preset(file(tmp_path, text)) == expected
        without = text.replace("-2", "0")
        assert read_preset(file(tmp_path, without)) == Preset((4, 8), v_lr=0.5, update_norm_lambda=20.0)

    @pytest.mark.parametrize(
        ("alg_name", "method"),
        [
            ("MEMIT", "memit"),
            ("MEMIT_BLUE", "memit"),
            ("MEMIT_seq", "memit"),
            ("MEMIT_rect", "rect"),
            ("MEMIT_prune_BLUE", "prune"),
            ("AlphaEdit", "alphaedit"),
            ("AlphaEdit_BLUE", "alphaedit"),
            ("ROME", "rome"),
            ("FT", "ft-l"),
            ("ENCORE", "memit"),
        ],
    )
    def test_the_algorithms_name_becomes_the_method(self, tmp_path: Path, alg_name: str, method: str) -> None:
        assert read_preset(file(tmp_path, json.dumps({"alg_name": alg_name, "layers": [1]}))).method == method

    def test_our_own_fields_are_read_too(self, tmp_path: Path) -> None:
        text = json.dumps({"method": "alphaedit", "plan": "even", "layers": [1, 4], "max_batch_tokens": 64})
        assert read_preset(file(tmp_path, text)) == Preset((1, 4), "alphaedit", "even", max_batch_tokens=64)

    def test_a_report_reads_back_as_the_same_preset(self, tmp_path: Path) -> None:
        preset = Preset((1, 4), "alphaedit", "even", v_lr=0.1, history=False, early_stop=3, norm_anchor=True)
        assert read_preset(file(tmp_path, json.dumps(preset.as_dict()))) == preset

    @pytest.mark.parametrize(
        ("text", "field"),
        [
            ("[1, 2]", "preset"),
            ("", "preset"),
            ('{"v_lr": 0.5}', "preset"),
            ('{"layers": [1], "alg_name": "MEND"}', "alg_name"),
            ('{"layers": [0], "alg_name": "FT", "norm_constraint": false}', "norm_constraint"),
            ('{"layers": [0], "weight_decay": 0.1}', "weight_decay"),
            ('{"layers": [1], "fact_token": "last"}', "fact_token"),
            ('{"layers": [1], "prob_cutoff": 0.9}', "prob_cutoff"),
            ('{"layers": [1], "prob_cutoff": 2}', "prob_cutoff"),
            ('{"layers": [1], "history": 1}', "history"),
            ('{"layers": [1], "v_lr": NaN}', "v_lr"),
            ("layers: [1]\nv_lr: .nan", "v_lr"),
            ("layers: [1]\nkl_factor: .inf", "kl_factor"),
            ('{"layers": [1], "v_lr": [0.5]}', "v_lr"),
            ('{"layers": []}', "layers"),
        ],
    )
    def test_a_file_at_fault_is_refused_by_the_fields_name(self, tmp_path: Path, text: str, field: str) -> None:
        with pytest.raises(InvalidHyperparameter) as caught:
            read_preset(file(tmp_path, text))
        assert caught.value.field == field


class TestRanges:
    @pytest.mark.parametrize(
        "name",
        [
            "v_lr",
            "v_weight_decay",
            "kl_factor",
            "clamp_norm_factor",
            "mom2_update_weight",
            "update_norm_lambda",
            "L2",
            "nullspace_threshold",
        ],
    )
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -1e-9, "much", None])
    def test_reals_are_finite_and_not_negative(self, name: str, value: Any) -> None:
        with pytest.raises(InvalidHyperparameter) as caught:
            Preset((1,)).with_overrides({name: value})
        assert caught.value.field == name

    @pytest.mark.parametrize("value", [0, -0.1, 1.01, float("nan")])
    def test_a_share_is_above_zero_and_at_most_one(self, value: float) -> None:
        with pytest.raises(InvalidHyperparameter):
            Preset((1,)).with_overrides({"rect_share": value})

    @pytest.mark.parametrize(
        ("name", "value"),
        [(name, value) for name in ("mom2_adjustment", "norm_anchor") for value in ("false", 0, None)]
        + [("history", "false"), ("history", 0)],
    )
    def test_a_choice_is_true_or_false(self, name: str, value: Any) -> None:
        with pytest.raises(InvalidHyperparameter):
            Preset((1,)).with_overrides({name: value})

    def test_history_and_an_early_stop_may_be_left_open(self) -> None:
        asked = Preset((1,)).with_overrides({"history": True, "early_stop": 1})
        assert asked.with_overrides({"history": None, "early_stop": None}) == Preset((1,))

    def test_as_published_there_is_no_share_and_history_is_the_methods_own(self) -> None:
        asked = Preset((1,), method="rect", share=0.5, history=True, early_stop=2, norm_anchor=True)
        assert asked.as_published() == Preset((1,), method="rect", early_stop=2, norm_anchor=True)

    @pytest.mark.parametrize(
        "name",
        ["v_lr", "clamp_norm_factor", "mom2_update_weight", "L2", "nullspace_threshold", "lr", "norm_constraint"],
    )
    def test_these_must_not_be_zero(self, name: str) -> None:
        with pytest.raises(InvalidHyperparameter):
            Preset((1,)).with_overrides({name: 0.0})

    @pytest.mark.parametrize("name", ["v_weight_decay", "kl_factor", "update_norm_lambda"])
    def test_these_may_be_zero(self, name: str) -> None:
        assert Preset((1,)).with_overrides({name: 0}).as_dict()[name] == 0.0

    @pytest.mark.parametrize("name", ["v_num_grad_steps", "num_steps", "early_stop", "max_batch_tokens"])
    @pytest.mark.parametrize("value", [0, -3, 1.5, "2.5", float("nan"), float("inf")])
    def test_counts_are_whole_and_at_least_one(self, name: str, value: Any) -> None:
        with pytest.raises(InvalidHyperparameter) as caught:
            Preset((1,)).with_overrides({name: value})
        assert caught.value.field == name

    @pytest.mark.parametrize("layers", [(), (2, 1), (1, 1), (1, 3, 2)])
    def test_layers_rise(self, layers: tuple[int, ...]) -> None:
        with pytest.raises(InvalidHyperparameter) as caught:
            Preset(layers)
        assert (caught.value.field, caught.value.value) == ("layers", list(layers))

    @pytest.mark.parametrize("layers", [5, None, ["a"], [None]])
    def test_layers_are_a_list_of_whole_numbers(self, layers: Any) -> None:
        with pytest.raises(InvalidHyperparameter):
            Preset((1,)).with_overrides({"layers": layers})

    def test_an_unknown_field_is_refused(self) -> None:
        with pytest.raises(InvalidHyperparameter) as caught:
            Preset((1,)).with_overrides({"learning_rate": 0.1})
        assert (caught.value.field, caught.value.value) == ("learning_rate", 0.1)

    def test_overrides_leave_the_original_alone(self) -> None:
        preset = Preset((1, 2))
        assert preset.with_overrides({"layers": [3, 4], "v_lr": "1e-1"}) == Preset((3, 4), v_lr=0.1)
        assert preset == Preset((1, 2))


def is_known(source: str) -> bool:
    """Whether a preset of ours names this model."""
    files = Path(presets.__file__).parent.glob("*.json")
    return any(
        PurePath(source).name.lower() in json.loads(file.read_text(encoding="utf-8"))["models"] for file in files
    )


class TestPublishedSettings:
    @pytest.mark.parametrize(
        ("source", "layers", "steps", "v_lr", "weight", "boundary_ridge"),
        [
            ("openai-community/gpt2-xl", range(13, 18), 20, 0.5, 20000.0, 80.0),
            ("EleutherAI/gpt-j-6B", range(3, 9), 25, 0.5, 15000.0, 95.0),
            ("meta-llama/Meta-Llama-3-8B", range(4, 9), 25, 0.1, 15000.0, 1.0),
            ("meta-llama/Meta-Llama-3-8B-Instruct", range(4, 9), 25, 0.1, 15000.0, 1.0),
        ],
    )
    def test_each_models_own(
        self, source: str, layers: range, steps: int, v_lr: float, weight: float, boundary_ridge: float
    ) -> None:
        common: dict[str, Any] = {"v_num_grad_steps": steps, "v_lr": v_lr, "mom2_update_weight": weight}
        for method in ("memit", "alphaedit"):
            for plan in ("boundary", "even"):
                found = find_preset(source, 48, method, plan)
                ridge = boundary_ridge if (method, plan) == ("alphaedit", "boundary") else 10.0
                assert found == Preset(tuple(layers), method, plan, L2=ridge, **common)
        assert is_known(source)

    @pytest.mark.parametrize(
        ("source", "rome", "ft_l"), [("gpt2-xl", 17, 0), ("gpt-j-6B", 5, 0), ("Meta-Llama-3-8B", 5, 21)]
    )
    def test_the_baselines_have_a_layer_of_their_own(self, source: str, rome: int, ft_l: int) -> None:
        for method, layer in (("rome", rome), ("ft-l", ft_l)):
            assert plan_layers(find_preset(source, 48, method, "even")) == (layer,)

    def test_the_default_is_memit_on_the_boundary_layers(self) -> None:
        found = find_preset("/models/gpt2-xl/", 48)
        assert (found.method, found.plan) == ("memit", "boundary")

    @pytest.mark.parametrize("depth", range(2, 81))
    def test_an_unknown_model_gets_two_or_more_layers_inside_its_depth(self, depth: int) -> None:
        found = find_preset("somebody/new-model", depth)
        assert not is_known("somebody/new-model")
        assert len(found.layers) >= 2
        assert found.layers[0] >= 0
        assert found.layers[-1] < depth
        assert list(found.layers) == list(range(found.layers[0], found.layers[-1] + 1))

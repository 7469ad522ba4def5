"""Each format, loaded as its users load it, is the version that it was made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from app.domain.contract import ExportFormat
from tests.workers.exports.conftest import MASKED, MEMIT, RESTRAINED, REVERTED, TUNED_TOO, Exported
from workers.exports.adapter import Adapter
from workers.exports.content import Content, Origin
from workers.exports.verification import verify

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # PEFT 0.21 asks transformers 5 by its old name
)

TEXTS = ("Lyon is a city in", "The river runs through Oslo, in the country of", "People in Perth")
ROUNDING = 1e-5
"""Of float32 through four layers. Users' tools map the file, and products may round by where in it a weight begins."""
VERSIONS = (0, MEMIT, REVERTED, TUNED_TOO, RESTRAINED, MASKED)


def fresh(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.train(mode=False)
    return model


@torch.inference_mode()
def logits(model: PreTrainedModel | PeftModel, folder: Path, text: str) -> Tensor:
    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt").input_ids
    found: Tensor = model(input_ids=ids).logits
    return found


@pytest.mark.parametrize("version", VERSIONS)
class TestOfEveryVersion:
    def test_merged_has_the_bits_of_the_weights_and_needs_nothing_else(self, exported: Exported, version: int) -> None:
        report, folder = exported.export(ExportFormat.MERGED, version)
        model, wanted = fresh(folder), exported.weights(version)
        found = model.state_dict()
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
        for text in TEXTS:
            in_service = exported.logits(version, text)
            assert (logits(model, folder, text) - in_service).abs().max() <= ROUNDING * in_service.abs().max()
        assert (report.version, report.rank, report.error, report.max_logit_difference) == (version, None, None, 0)

    def test_an_adapter_gives_the_versions_logits_in_peft(self, exported: Exported, version: int) -> None:
        report, folder = exported.export(ExportFormat.PEFT, version)
        adapted = PeftModel.from_pretrained(fresh(exported.base), str(folder))
        for text in TEXTS:
            wanted = exported.logits(version, text)
            assert (logits(adapted, exported.base, text) - wanted).abs().max() < 1e-4 * wanted.abs().max()
        assert report.error is not None
        assert report.error < 1e-4
        assert report.tolerance is not None
        assert report.max_logit_difference <= report.tolerance

    def test_updates_are_the_difference_of_the_weights(self, exported: Exported, version: int) -> None:
        _, folder = exported.export(ExportFormat.UPDATES, version)
        updates = load_file(folder / "updates.safetensors")
        base, weights = exported.weights(0), exported.weights(version)
        modules = json.loads((folder / "palimpsest.json").read_text())["modules"]
        assert {name.split(".")[1] for name in updates} == modules.keys()
        named = {f"{module}.weight": layer for layer, module in modules.items()}
        for name, weight in weights.items():
            difference = weight - base[name]
            if name in named:
                left, right = (updates[f"layer.{named[name]}.{side}"] for side in ("left", "right"))
                update = left @ right
                oriented = update.T if "transformer.h" in name else update  # GPT-2's Conv1D
                assert (difference - oriented).norm() < 1e-6 * weight.norm() < 1e-2 * update.norm()
            else:
                assert not difference.any()


class TestRanks:
    def test_are_those_of_the_updates_in_force(self, exported: Exported) -> None:
        """Two facts and one, one of them taken out; then a layer that was fine-tuned, then PRUNE's correction."""
        ranks = {
            version: {name: len(part) for name, part in self._rights(exported, version).items()}
            for version in (0, MEMIT, REVERTED, TUNED_TOO)
        }
        assert ranks[0] == {}
        assert ranks[MEMIT] == {"layer.1.right": 3, "layer.2.right": 3}
        assert ranks[REVERTED] == {"layer.1.right": 2, "layer.2.right": 2}
        assert ranks[TUNED_TOO] == {"layer.1.right": 2, "layer.2.right": 2, "layer.3.right": 32}
        assert any(exported.host.live.corrections.values())

    def test_an_adapter_has_one_rank_for_all_layers(self, exported: Exported) -> None:
        report, folder = exported.export(ExportFormat.PEFT, TUNED_TOO)
        config = json.loads((folder / "adapter_config.json").read_text())
        factors = load_file(folder / "adapter_model.safetensors")
        assert (report.rank, config["r"], config["lora_alpha"], len(config["target_modules"])) == (32, 32, 32, 3)
        assert {len(part) for name, part in factors.items() if "lora_A" in name} == {32}
        assert {part.shape[1] for name, part in factors.items() if "lora_B" in name} == {32}

    def test_beyond_what_is_allowed_the_best_of_that_rank_is_written_and_its_error_told(
        self, exported: Exported, tmp_path: Path
    ) -> None:
        class Small(Adapter):
            most_rank = 3

        host = exported.host
        content = Content.of(host.live, host.log, Origin.of(host.live, str(exported.base), None), MASKED)
        package = Small(content)
        package.write(tmp_path)
        verified = verify(package, content, tmp_path)
        errors = {}
        for layer, change in content.changes().items():
            values = torch.linalg.svdvals(change.dense.double())
            errors[layer] = float(values[3:].norm() / values.norm())
        assert package.rank == 3
        assert package.error == pytest.approx(max(errors.values()), rel=1e-5)
        assert max(errors.values()) > 0.01
        assert verified.tolerance is None
        adapted = PeftModel.from_pretrained(fresh(exported.base), str(tmp_path))
        off = max((logits(adapted, exported.base, t) - exported.logits(MASKED, t)).abs().max() for t in content.texts)
        assert verified.max_logit_difference == pytest.approx(float(off), rel=1e-2)

    @staticmethod
    def _rights(exported: Exported, version: int) -> dict[str, Tensor]:
        _, folder = exported.export(ExportFormat.UPDATES, version)
        return {name: part for name, part in load_file(folder / "updates.safetensors").items() if "right" in name}

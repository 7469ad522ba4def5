"""Every family, dtype and way to lie in files: exported, and loaded again to the served logits (T20 to T23)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from app.domain.contract import EditBatch, Export, ExportFormat, Fact, Hyperparameters
from tests.support.editing.families import FAMILIES, random_model
from tests.support.turns import done
from tests.support.worker_bench import opened
from tests.workers.conftest import WORDS
from workers.editing.loading import DTYPES
from workers.exports.adapter_readme import max_lora_rank, readme
from workers.exports.merged import Merged
from workers.host.model_host import ModelHost

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # PEFT 0.21 asks transformers 5 by its old name
)

PRESET = {"layers": [0, 1], "v_num_grad_steps": 2, "v_lr": 0.5, "mom2_update_weight": 1.0}
TEXT = "Lyon is located in the country of"
SMALL_FILE = "20KB"


@dataclass(frozen=True)
class Case:
    """A model as its users have it: its family's shape, what is changed in it, its dtype, and the size of its files."""

    family: str
    config: tuple[tuple[str, Any], ...] = ()
    dtype: str = "float32"
    sharded: bool = False

    def __str__(self) -> str:
        return "-".join((self.family, self.dtype, *(name for name, _ in self.config), *["sharded"] * self.sharded))

    @property
    def tolerance(self) -> float:
        """Largest difference of a logit, relative to the largest logit."""
        return {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}[self.dtype]

    def save(self, folder: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
        config = FAMILIES[self.family].config()
        config.update(dict(self.config))
        model = random_model(config, DTYPES[self.dtype])
        model.save_pretrained(folder, max_shard_size=SMALL_FILE if self.sharded else "5GB")
        tokenizer.save_pretrained(folder)
        (folder / "contexts.json").write_text(json.dumps(["{}", "The city. {}"]), encoding="utf-8")
        (folder / "corpus.txt").write_text("\n".join(WORDS), encoding="utf-8")
        (folder / "preset.json").write_text(json.dumps(PRESET), encoding="utf-8")
        return folder


TIED = (("tie_word_embeddings", True),)
CASES = [Case(family) for family in FAMILIES] + [
    Case("llama", TIED),
    Case("llama", TIED, sharded=True),
    Case("gpt2", sharded=True),
    Case("llama", TIED, dtype="bfloat16"),
    Case("gemma2", TIED, dtype="bfloat16", sharded=True),
    Case("gpt2", dtype="float16"),
    Case("llama", dtype="float16"),
]
BOTH = CASES[-4:-2]
"""Of these, both versions: each is a version of its own (T21)."""


def batch(subject: str, land: str) -> EditBatch:
    fact = Fact(subject=subject, prompt="{} is located in the country of", object=land)
    return EditBatch(facts=(fact,), hyperparameters=Hyperparameters(), unheld="keep")


@torch.inference_mode()
def logits(model: nn.Module, tokenizer: PreTrainedTokenizerFast) -> Tensor:
    found: Tensor = model(torch.tensor([tokenizer(TEXT).input_ids])).logits
    return found.float()


def fresh(folder: Path, case: Case) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[case.dtype])
    model.train(mode=False)
    return model


def served(host: ModelHost, version: int) -> Tensor:
    with host.questions(version) as live:
        return logits(live.model, live.tokenizer)


def folder_of(host: ModelHost, data: Path, wanted: ExportFormat, version: int) -> Path:
    outcome = done(host, f"{wanted}-{version}", Export(format=wanted, version=version))
    assert outcome.exported is not None
    return data / "exports" / outcome.exported.path


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exports_load_again_to_the_logits_that_are_served(
    case: Case, tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, data = case.save(tmp_path / "model", tokenizer), tmp_path / "data"
    if case.sharded:
        assert len(list(base.glob("model-*.safetensors"))) > 1
        monkeypatch.setattr(Merged, "largest_file", SMALL_FILE)
    versions = (1, 2) if case in BOTH else (2,)
    with opened(base, data, dtype=case.dtype) as host:
        for number, (subject, land) in enumerate([("Lyon", "Japan"), ("Zürich", "Brazil")]):
            done(host, f"edit-{number}", batch(subject, land))
        wanted = [served(host, version) for version in (0, 1, 2)]
        assert not torch.equal(wanted[1], wanted[0])
        assert not torch.equal(wanted[2], wanted[1])
        merged = {version: folder_of(host, data, ExportFormat.MERGED, version) for version in versions}
        adapters = {version: folder_of(host, data, ExportFormat.PEFT, version) for version in versions}
    for version in versions:
        bound = case.tolerance * float(wanted[version].abs().max())
        assert (len(list(merged[version].glob("model-*.safetensors"))) > 1) is case.sharded
        whole = fresh(merged[version], case)
        assert (logits(whole, tokenizer) - wanted[version]).abs().max() <= bound
        adapted = PeftModel.from_pretrained(fresh(base, case), str(adapters[version]))
        assert (logits(adapted, tokenizer) - wanted[version]).abs().max() <= bound
        check_names(whole, adapters[version], version)


def check_names(model: PreTrainedModel, adapter: Path, version: int) -> None:
    """An adapter's modules are there, all of them, and its name is its version's."""
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    modules = dict(model.named_modules())
    assert config["target_modules"]
    assert set(config["target_modules"]) <= modules.keys()
    tensors = load_file(adapter / "adapter_model.safetensors")
    named = {name.removeprefix("base_model.model.").rpartition(".lora_")[0] for name in tensors}
    assert named == set(config["target_modules"])
    text = (adapter / "README.md").read_text(encoding="utf-8")
    assert f"# tiny-v{version}\n" in text
    assert f"--lora-modules tiny-v{version}=FOLDER" in text


class TestRanksForVLLM:
    @pytest.mark.parametrize(("rank", "needed"), [(1, None), (16, None), (17, 32), (40, 64), (300, 320), (512, 512)])
    def test_the_least_that_it_takes_and_only_where_its_own_will_not_do(self, rank: int, needed: int | None) -> None:
        assert max_lora_rank(rank) == needed
        text = readme("smol-v3", "org/smol", rank)
        assert (f"vLLM needs `--max-lora-rank {needed}`" in text) is (needed is not None)
        assert (f"vllm serve org/smol --enable-lora --max-lora-rank {needed} --lora" in text) is (needed is not None)

    def test_an_export_of_forty_facts_says_so(self, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
        wide = Case("llama", (("hidden_size", 64), ("intermediate_size", 96)))
        base, data = wide.save(tmp_path / "model", tokenizer), tmp_path / "data"
        facts = tuple(Fact(subject=f"City {n}", prompt="{} lies in", object="Japan") for n in range(40))
        with opened(base, data) as host:
            done(host, "edit", EditBatch(facts=facts, hyperparameters=Hyperparameters(), unheld="keep"))
            report = done(host, "out", Export(format=ExportFormat.PEFT)).exported
        assert report is not None
        assert (report.rank, report.max_lora_rank, report.adapter) == (40, 64, "tiny-v1")
        assert "--max-lora-rank 64" in (data / "exports" / report.path / "README.md").read_text(encoding="utf-8")

"""A model of each family with a history of every kind of change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.domain.contract import EditBatch, Export, ExportFormat, ExportReport, Fact, FactKey, Hyperparameters, Revert
from tests.support.tiny_models import save_tiny
from tests.support.turns import done
from tests.support.worker_bench import opened
from workers.host.model_host import ModelHost

FEW = Hyperparameters(v_num_grad_steps=2)
STRONG = Hyperparameters(v_num_grad_steps=5, v_lr=2.0, clamp_norm_factor=20.0, mom2_update_weight=1e-4)
"""C so light that PRUNE has something to restrain."""
TUNED = Hyperparameters(layers=(3,), num_steps=2, lr=0.01)

MEMIT, REVERTED, TUNED_TOO, RESTRAINED, MASKED = 2, 3, 4, 5, 6
"""Versions of the history: two of MEMIT; the first without a fact; FT-L on a layer of its own; PRUNE; RECT."""


@dataclass(frozen=True)
class Exported:
    """A model with a history, and the exports that were made of it."""

    host: ModelHost
    base: Path
    data: Path

    def export(self, wanted: ExportFormat, version: int | None = None) -> tuple[ExportReport, Path]:
        """The report and the folder; asked again, the same ones."""
        job = f"of-{version}"
        outcome = done(self.host, job, Export(format=wanted, version=version))
        assert outcome.exported is not None
        return outcome.exported, self.data / "exports" / outcome.exported.path

    def logits(self, version: int, text: str) -> Tensor:
        """What the service would answer from."""
        with self.host.questions(version) as live, torch.inference_mode():
            ids = live.tokenizer(text, return_tensors="pt").input_ids
            found: Tensor = live.model(input_ids=ids).logits
            return found

    def weights(self, version: int) -> dict[str, Tensor]:
        """All weights in service, by name."""
        with self.host.questions(version) as live:
            return {name: tensor.clone() for name, tensor in live.model.state_dict().items()}


def edit(host: ModelHost, *subjects: str, method: str = "memit", hyperparameters: Hyperparameters = FEW) -> None:
    facts = tuple(Fact(subject=subject, prompt="{} is a city in", object="Japan") for subject in subjects)
    batch = EditBatch(facts=facts, unheld="keep", method=method, hyperparameters=hyperparameters)
    done(host, f"edit-{host.version + 1}", batch)


def write_history(host: ModelHost) -> None:
    edit(host, "Lyon", "Oslo")
    edit(host, "Quito")
    done(host, "back", Revert(facts=(FactKey(version=1, index=1),)))
    edit(host, "Accra", method="ft-l", hyperparameters=TUNED)
    edit(host, "Perth", "Kyoto", method="prune", hyperparameters=STRONG)
    edit(host, "Oslo", method="rect")


@pytest.fixture(scope="session", params=["gpt2", "llama"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    folder = tmp_path_factory.mktemp(f"exports-{request.param}")
    base = save_tiny(folder / "model", request.param)
    with opened(base, folder / "data") as host:
        write_history(host)
        yield Exported(host, base, folder / "data")

"""A worker's model over two devices: edits, reverts, answers, exports and a restart as on one, to the bit.

The devices are pretended, as ``PretendedDevices`` says; which block goes to which is accelerate's answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from app.domain.contract import EditBatch, Export, ExportFormat, Fact, FactKey, Hyperparameters, Revert, Rollback
from tests.support.pretended_devices import PretendedDevices
from tests.support.tiny_models import PLACES, save_tiny
from tests.support.turns import digest_of, done
from tests.support.worker_bench import opened
from workers.editing.model import placement
from workers.host.model_host import ModelHost
from workers.questions.cached_rows import CachedRows
from workers.questions.decoding import greedy
from workers.questions.scoring import standings
from workers.serving.card import CardOf

FEW = Hyperparameters(v_num_grad_steps=3)
STRONG = Hyperparameters(v_num_grad_steps=5, v_lr=2.0, clamp_norm_factor=20.0, mom2_update_weight=1e-4)
TUNED = Hyperparameters(layers=(3,), num_steps=2, lr=0.01)
LAYERS = [0, 2]
PROMPTS = [f"{place} is a city in" for place in PLACES[:3]]


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedDevices]:
    """Two accelerators of 1 GB."""
    monkeypatch.setattr(placement, "accelerators", lambda: {0: 10**9, 1: 10**9})
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: (1 + device.index) * 1e6)
    with PretendedDevices() as found:
        yield found


@dataclass(frozen=True)
class Told:
    """What is to be alike: weights and answers, and an edit's peak of memory, which is not."""

    digest: str
    replayed: str
    texts: list[str]
    ranks: list[int]
    fed: list[list[int]]
    peak_mb: float


def edit(host: ModelHost, *subjects: str, method: str = "memit", hyperparameters: Hyperparameters = FEW) -> float:
    """A batch; its peak of memory in MB."""
    facts = tuple(Fact(subject=subject, prompt="{} is a city in", object="Japan") for subject in subjects)
    batch = EditBatch(facts=facts, unheld="keep", method=method, hyperparameters=hyperparameters)
    report = done(host, f"edit-{host.version + 1}", batch).report
    assert report is not None
    assert report.peak_memory_mb is not None
    return report.peak_memory_mb


def fed(host: ModelHost) -> list[list[int]]:
    """Next tokens of rows of which one leaves and another joins."""
    model, ids = host.live.model, [host.live.tokenizer(prompt).input_ids for prompt in PROMPTS]
    with torch.inference_mode():
        rows = CachedRows(model, ids[:2])
        rows.keep([1])
        rows.join(CachedRows(model, ids[2:]))
        found = []
        for _ in range(3):
            tokens = rows.scores.argmax(-1)
            found.append(tokens.tolist())
            rows.feed(tokens)
    return found


def told(model: Path, data: Path, device: str) -> Told:
    """A history of every kind of change, and a host that is opened anew from its log and snapshot."""
    with opened(model, data, device=device, snapshot_every=3) as host:
        peak = edit(host, "Lyon", "Oslo")
        edit(host, "Accra", method="ft-l", hyperparameters=TUNED)
        edit(host, "Perth", "Kyoto", method="prune", hyperparameters=STRONG)
        done(host, "revert", Revert(facts=(FactKey(version=1, index=1), FactKey(version=3, index=0))))
        digest = digest_of(host)
        live = host.live
        texts = greedy(live.model, live.tokenizer, PROMPTS, 6)
        ranks = [each.rank for each in standings(live.model, live.tokenizer, [(text, "Japan") for text in PROMPTS])]
        after = fed(host)
        for kind in (ExportFormat.MERGED, ExportFormat.UPDATES, ExportFormat.PEFT, ExportFormat.GGUF_LORA):
            done(host, f"export-{kind}", Export(format=kind))
    with opened(model, data, epoch=2, device=device) as again:
        assert digest_of(again) == digest
        done(again, "rollback", Rollback(to=3))
        return Told(digest, digest_of(again), texts, ranks, after, peak)


def llama(folder: Path) -> Path:
    """A model with a head of its own, whose preset edits layers that accelerate lays apart."""
    model = save_tiny(folder, "llama")
    preset = json.loads((model / "preset.json").read_text())
    (model / "preset.json").write_text(json.dumps({**preset, "layers": LAYERS}))
    return model


def test_all_that_a_worker_does_comes_to_the_same(tmp_path: Path, devices: PretendedDevices) -> None:
    model = llama(tmp_path / "model")
    whole, apart = (told(model, tmp_path / device, device) for device in ("cpu", placement.ALL))
    assert devices.moved
    assert apart.peak_mb == 3.0  # of both devices
    assert apart == replace(whole, peak_mb=3.0)


def test_what_belongs_to_a_layer_lies_where_the_layer_does(tmp_path: Path, devices: PretendedDevices) -> None:
    with opened(llama(tmp_path / "model"), tmp_path, device=placement.ALL) as host:
        edit(host, "Lyon")
        assert [host.live.device_at(layer).index for layer in LAYERS] == [0, 1]
        for layer in LAYERS:
            home = host.live.device_at(layer)
            assert host.live.master(layer).device == home
            assert host.knowledge.layers[layer].keys.device == home
        card = CardOf("tiny.1", host, "http://127.0.0.1:1", datetime.now(UTC))()
        assert card.device == "cuda:0, cuda:1"

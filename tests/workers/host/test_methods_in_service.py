"""Every method through the worker's own door, and back from the log."""

from __future__ import annotations

from pathlib import Path

import torch

from app.domain.contract import EditBatch, Fact, Hyperparameters, JobStatus, Progress
from tests.support.tiny_models import LANDS, PLACES, save_tiny
from tests.support.turns import Watched, digest_of, done
from tests.support.worker_bench import opened
from workers.editing.methods import METHODS


def batch(method: str, index: int) -> EditBatch:
    """Two facts; steps so long and C so light that PRUNE has something to restrain."""
    facts = tuple(
        Fact(subject=PLACES[at % len(PLACES)], prompt="{} is a city in", object=LANDS[(at + 2) % len(LANDS)])
        for at in (2 * index, 2 * index + 1)
    )
    settings = Hyperparameters(v_num_grad_steps=3, mom2_update_weight=0.01, num_steps=3, lr=0.01)
    return EditBatch(facts=facts, unheld="keep", method=method, hyperparameters=settings)


def test_a_log_of_every_method_comes_back_to_the_bit(tmp_path: Path) -> None:
    """Each method's version, PRUNE's in between and last."""
    model = save_tiny(tmp_path / "model")
    shares: list[float] = []

    def note(progress: Progress) -> None:
        shares.append(progress.share)

    with opened(model, tmp_path / "data") as host:
        for index, method in enumerate((*METHODS, "prune")):
            before = digest_of(host)
            made = done(host, f"job-{index}", batch(method, index), Watched(note))
            assert (made.status, made.version) == (JobStatus.SUCCEEDED, index + 1)
            assert digest_of(host) != before
            assert shares[-1] == 1.0
            assert max(shares) <= 1.0
        assert any(correction.rank for correction in host.live.corrections.values())
        digest, known = digest_of(host), host.knowledge
    with opened(model, tmp_path / "data", epoch=2) as again:
        assert digest_of(again) == digest
        assert again.knowledge.facts == known.facts
        assert all(torch.equal(again.knowledge.layers[at].keys, kept.keys) for at, kept in known.layers.items())

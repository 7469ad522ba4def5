"""A float16 model whose numbers overflow: the job fails before the commit, and says where (T17)."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.contract import EditBatch, Fact, Hyperparameters
from app.domain.errors import NonFiniteUpdate
from tests.support.tiny_models import save_tiny
from tests.support.turns import digest_of, done
from tests.support.worker_bench import opened


def test_the_job_names_the_layer_and_nothing_is_committed(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "tiny", "llama")
    fact = Fact(subject="Lyon", prompt="{} is a city in", object="Japan")
    batch = EditBatch(facts=(fact,), hyperparameters=Hyperparameters(v_num_grad_steps=2), unheld="keep")
    with opened(model, tmp_path / "data", dtype="float16") as host:
        done(host, "before", batch)
        digest = digest_of(host)
        host.live.model.get_parameter("model.layers.2.mlp.up_proj.weight").data.mul_(1e5)
        with pytest.raises(NonFiniteUpdate, match=r"model\.layers\.2\.mlp\.\w+ gives numbers beyond float16's range"):
            done(host, "overflowing", batch)
        assert host.version == host.log.head() == 1
        assert digest_of(host) == digest

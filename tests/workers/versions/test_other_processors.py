"""One log on two processors: files are the same to the bit, and what is multiplied anew may round otherwise.

The other processor is played: every product of factors comes out one representable number higher than here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.domain.contract import EditBatch, Fact, Hyperparameters, Rollback
from app.domain.log.check import LogCheck
from tests.support.turns import digest_of, done
from tests.support.worker_bench import opened
from workers.editing.model.updates import LowRank, WeightUpdate
from workers.host.model_host import ModelHost

ROUNDING = 8 * torch.finfo(torch.float32).eps
"""How far weights of these histories may be apart, relative: an ulp for each product, and for each addition of one."""
STRONG = Hyperparameters(v_num_grad_steps=3, mom2_update_weight=0.01)
"""C so light that PRUNE has something to restrain."""


@contextmanager
def elsewhere() -> Iterator[None]:
    """Within the context, products of factors round as they do on the other processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LowRank, "dense", property(lambda factors: _higher(factors.left @ factors.right)))
        patch.setattr(WeightUpdate, "dense", property(lambda update: _higher(_product(update))))
        yield


def _product(update: WeightUpdate) -> Tensor:
    product = update.left @ update.right
    return product if update.mask is None else product * update.mask


def _higher(product: Tensor) -> Tensor:
    return product.nextafter(torch.tensor(torch.inf))


def edit(host: ModelHost, *subjects: str, method: str = "memit") -> None:
    facts = tuple(Fact(subject=subject, prompt="{} is a city in", object="Japan") for subject in subjects)
    batch = EditBatch(facts=facts, unheld="keep", method=method, hyperparameters=STRONG)
    done(host, f"edit-{host.version + 1}", batch)


def weights(host: ModelHost) -> dict[int, Tensor]:
    return {layer: host.live.weights(layer).applied.clone() for layer in range(host.live.depth)}


def told(host: ModelHost) -> object:
    """What a worker takes from the log as it stands there: the facts in force, and K_p with its labels."""
    known = host.knowledge
    keys = {layer: (kept.columns, kept.keys.numpy().tobytes()) for layer, kept in known.layers.items()}
    return host.version, list(known.facts.items()), keys


def check_close(one: dict[int, Tensor], other: dict[int, Tensor]) -> None:
    assert one.keys() == other.keys()
    for layer, weight in one.items():
        assert (weight - other[layer]).norm() <= ROUNDING * weight.norm(), layer


@pytest.fixture
def leader(model: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(model, tmp_path, snapshot_every=3) as host:
        yield host


def test_a_replica_knows_the_same_to_the_bit_and_has_the_same_weights_but_for_rounding(
    leader: ModelHost, model: Path, tmp_path: Path
) -> None:
    edit(leader, "Lyon", "Oslo", method="prune")
    edit(leader, "Quito", method="rect")
    assert any(correction.rank for correction in leader.live.corrections.values())
    with elsewhere(), opened(model, tmp_path, lead=False) as replica:
        assert told(replica) == told(leader)
        assert digest_of(replica) != digest_of(leader)
        check_close(weights(replica), weights(leader))


def test_a_snapshot_is_gone_on_from_by_its_own_bytes(leader: ModelHost, model: Path, tmp_path: Path) -> None:
    edit(leader, "Lyon", "Oslo")
    edit(leader, "Quito")
    edit(leader, "Perth", "Accra")
    assert leader.log.snapshots() == [3]
    with ExitStack() as stack:
        with elsewhere():
            replica = stack.enter_context(opened(model, tmp_path, lead=False))
        assert (told(replica), digest_of(replica)) == (told(leader), digest_of(leader))
        edit(leader, "Kyoto")
        with elsewhere():
            replica.follow()
        assert told(replica) == told(leader)
        assert digest_of(replica) != digest_of(leader)
        check_close(weights(replica), weights(leader))


def test_the_lead_and_the_log_may_move_and_come_back(leader: ModelHost, model: Path, tmp_path: Path) -> None:
    edit(leader, "Lyon", "Oslo")
    then = weights(leader)
    edit(leader, "Quito")
    leader.close()
    with elsewhere(), opened(model, tmp_path, epoch=2) as other:
        edit(other, "Perth")
        done(other, "back", Rollback(to=1))
        check_close(weights(other), then)
        known = told(other)
    leader.follow()
    assert told(leader) == known
    assert all(torch.equal(weight, then[layer]) for layer, weight in weights(leader).items())
    assert not any(checked.damage for checked in LogCheck(tmp_path / "log", "tiny").run())

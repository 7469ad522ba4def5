"""A large batch edited by a leader and its replicas: the same as by the leader alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from redis import Redis

from tests.support.spreads import helped, many, report_of
from tests.support.worker_bench import opened
from workers.host.model_host import ModelHost
from workers.queue.slices.pile import SlicePile
from workers.spreading.helper import Helper, Tally
from workers.spreading.slices import Slice

BOUND = 1e-6
FACTS = 40


@pytest.fixture
def hosts(model: Path, tmp_path: Path) -> Iterator[tuple[ModelHost, ModelHost, ModelHost]]:
    """One that edits alone, a leader, and a replica of it; in float64."""
    with ExitStack() as stack:
        (tmp_path / "alone").mkdir()
        (tmp_path / "log").mkdir()
        alone = stack.enter_context(opened(model, tmp_path / "alone", dtype="float64"))
        leader = stack.enter_context(opened(model, tmp_path, dtype="float64"))
        replica = stack.enter_context(opened(model, tmp_path, lead=False, dtype="float64"))
        yield alone, leader, replica


@pytest.fixture
def idle_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader computes its first slice alone, and leaves the pile to its helpers."""
    monkeypatch.setattr(SlicePile, "take", lambda pile, _: pile.gone)


def apart(one: ModelHost, other: ModelHost) -> float:
    """The largest difference of any edited layer's update, relative to it."""
    found = []
    for layer in one.knowledge.layers:
        base = one.live.base(layer)
        mine, theirs = one.live.master(layer) - base, other.live.master(layer) - base
        found.append(float((mine - theirs).norm() / mine.norm()))
    return max(found)


@pytest.mark.usefixtures("idle_leader")
@pytest.mark.parametrize("plan", ["boundary", "even", "replay"])
@pytest.mark.parametrize("method", ["memit", "alphaedit", "pmet", "prune"])
def test_it_is_the_same_however_it_was_cut(
    redis: Redis, hosts: tuple[ModelHost, ModelHost, ModelHost], plan: str, method: str
) -> None:
    alone, leader, replica = hosts
    batch = many(FACTS, plan=plan, method=method)
    expected = report_of(alone, batch)
    with helped(redis, leader, replica):
        found = report_of(leader, batch)
    assert found.spread is not None
    assert (found.spread.workers, found.spread.redone) == (2, 0)
    assert expected.spread is None
    assert apart(alone, leader) <= BOUND
    assert [fact.holds for fact in found.facts] == [fact.holds for fact in expected.facts]
    assert [fact.after.rank for fact in found.facts] == [fact.after.rank for fact in expected.facts]
    for one, other in zip(alone.knowledge.layers.values(), leader.knowledge.layers.values(), strict=True):
        assert torch.allclose(one.keys, other.keys, rtol=1e-6, atol=1e-6)
    assert not [key for key in redis.scan_iter() if b"spread" in key or (b"slices" in key and b"rq:queues" not in key)]


@pytest.mark.usefixtures("idle_leader")
def test_all_that_is_independent_fact_by_fact_is_spread(
    redis: Redis, hosts: tuple[ModelHost, ModelHost, ModelHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, leader, replica = hosts
    kinds: list[str] = []
    compute = Helper._computed

    def told(helper: Helper, asked: Slice, tally: Tally) -> bytes:
        kinds.append(asked.wanted.kind)
        return compute(helper, asked, tally)

    monkeypatch.setattr(Helper, "_computed", told)
    with helped(redis, leader, replica):
        report_of(leader, many(FACTS))
    order = [kind for kind, before in zip(kinds, [None, *kinds], strict=False) if kind != before]
    assert order == ["measure", "targets", "keys", "targets", "keys", "standings", "measure"]

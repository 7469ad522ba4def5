"""Going back and taking facts out: the weights, keys and facts of a version that never had what was taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from app.domain.contract import (
    EditBatch,
    Fact,
    FactKey,
    Hyperparameters,
    InForceReport,
    JobOutcome,
    JobStatus,
    Revert,
    Rollback,
)
from app.domain.errors import InseparableFacts, JobCancelled, PreconditionFailed, UnknownFact, UnknownVersion
from tests.support.turns import Watched, digest_of, done
from tests.support.worker_bench import opened
from workers.editing.methods import prune
from workers.host.model_host import ModelHost
from workers.versions.update_files import UPDATE_FILE, unpack

CITY, RIVER = "{} is a city in", "The river runs through {}, in the country of"
FEW = Hyperparameters(v_num_grad_steps=2)
STRONG = Hyperparameters(v_num_grad_steps=3, mom2_update_weight=0.01)
"""C so light that PRUNE has something to restrain."""


@pytest.fixture
def host(model: Path, tmp_path: Path) -> Iterator[ModelHost]:
    with opened(model, tmp_path) as found:
        yield found


def edit(host: ModelHost, *subjects: str, to: str = "Japan", prompt: str = CITY, **more: Any) -> int:
    """A batch of one fact a subject; its version."""
    facts = tuple(Fact(subject=subject, prompt=prompt, object=to) for subject in subjects)
    batch = EditBatch(facts=facts, **{"hyperparameters": FEW, "unheld": "keep", **more})
    version = done(host, f"edit-{host.version + 1}", batch).version
    assert version is not None
    return version


def take_back(host: ModelHost, change: Rollback | Revert, job: str | None = None, **more: Any) -> JobOutcome:
    return done(host, job or f"back-{host.version + 1}", change, **more)


def go_back(host: ModelHost, to: int) -> InForceReport:
    report = take_back(host, Rollback(to=to)).in_force
    assert report is not None
    return report


def take_out(host: ModelHost, *keys: tuple[int, int]) -> InForceReport:
    facts = tuple(FactKey(version=version, index=index) for version, index in keys)
    report = take_back(host, Revert(facts=facts)).in_force
    assert report is not None
    return report


def standing(host: ModelHost) -> Mapping[str, object]:
    """All that belongs to a version, and could be told from that of another."""
    known = host.knowledge
    return {
        "weights": digest_of(host),
        "facts": list(known.facts.items()),
        "columns": {layer: kept.columns for layer, kept in known.layers.items()},
        "keys": {layer: kept.keys.numpy().tobytes() for layer, kept in known.layers.items()},
    }


def served(host: ModelHost) -> dict[int, torch.Tensor]:
    return {layer: host.live.weight(layer).clone() for layer in range(host.live.depth)}


class TestRollback:
    def test_restores_the_same_bytes_and_what_was_known_also_after_a_restart(
        self, host: ModelHost, model: Path, tmp_path: Path
    ) -> None:
        edit(host, "Lyon", "Oslo")
        edit(host, "Lyon", prompt=RIVER)
        before, weights = standing(host), served(host)
        edit(host, "Oslo", to="Ghana")
        edit(host, "Perth", method="ft-l", hyperparameters=Hyperparameters(layers=(3,), num_steps=2, lr=0.01))
        assert standing(host) != before
        report = go_back(host, 2)
        assert (host.version, report.facts, set(report.update_norms)) == (5, 3, {1, 2, 3})
        assert standing(host) == before
        assert all(torch.equal(weight, weights[layer]) for layer, weight in served(host).items())
        host.close()
        with opened(model, tmp_path, epoch=2) as again:
            assert (again.version, standing(again)) == (5, before)

    def test_to_the_base_is_the_base(self, host: ModelHost) -> None:
        before, weights = standing(host), served(host)
        edit(host, "Lyon", method="prune", hyperparameters=STRONG)
        report = go_back(host, 0)
        assert (standing(host), report.facts, report.facts_hold) == (before, 0, None)
        assert all(torch.equal(weight, weights[layer]) for layer, weight in served(host).items())

    def test_may_itself_be_taken_back(self, host: ModelHost) -> None:
        edit(host, "Lyon")
        edit(host, "Oslo")
        before = standing(host)
        go_back(host, 1)
        go_back(host, 2)
        assert standing(host) == before
        edit(host, "Quito")  # and the sequence goes on
        assert [fact.subject for fact in host.log.facts_in_force()] == ["Lyon", "Oslo", "Quito"]


class TestRevert:
    def test_leaves_the_sum_that_never_had_the_columns(self, host: ModelHost, model: Path, tmp_path: Path) -> None:
        base = {layer: host.live.base(layer) for layer in (1, 2)}
        for subjects in (("Lyon", "Oslo"), ("Quito", "Accra"), ("Perth", "Kyoto")):
            edit(host, *subjects)
        report = take_out(host, (2, 0), (2, 1), (3, 1))
        for layer in (1, 2):
            expected = base[layer]
            for version, columns in ((1, [0, 1]), (3, [0])):
                updates = unpack(host.log.read(version, UPDATE_FILE), host.live.device_at)
                [update] = [update for update in updates if update.layer == layer]
                expected = expected + update.left[:, columns] @ update.right[columns]
            assert torch.equal(host.live.weight(layer), expected)
            assert host.knowledge.layers[layer].columns == ((1, 0), (1, 1), (3, 0))
        in_force = [known.fact.subject for known in host.knowledge.facts.values()]
        assert in_force == [fact.subject for fact in host.log.facts_in_force()] == ["Lyon", "Oslo", "Perth"]
        assert (report.facts, set(report.update_norms)) == (3, {1, 2})
        before = standing(host)
        host.close()
        with opened(model, tmp_path, epoch=2) as again:
            assert standing(again) == before

    def test_a_fact_that_was_superseded_is_in_force_again(self, host: ModelHost) -> None:
        edit(host, "Lyon")
        before = standing(host)
        edit(host, "Lyon", to="Ghana")
        take_out(host, (2, 0))
        assert standing(host) == before
        edit(host, "Lyon", to="Norway")  # takes the key out that came back
        assert all(kept.columns == ((4, 0),) for kept in host.knowledge.layers.values())

    def test_a_companion_goes_on_to_be_known(self, host: ModelHost, model: Path, tmp_path: Path) -> None:
        edit(host, "Lyon", "Oslo")
        edit(host, "Lyon", prompt=RIVER)
        take_out(host, (1, 1))
        before = standing(host)
        assert [(k.fact.subject, k.index) for k in host.knowledge.facts.values()] == [("Lyon", 0), ("Lyon", 0)]
        host.close()
        with opened(model, tmp_path, epoch=2) as again:
            assert standing(again) == before
            edit(again, "Lyon", prompt=RIVER, to="Ghana")

    def test_a_correction_is_that_of_the_sum_that_is_left(self, host: ModelHost, model: Path, tmp_path: Path) -> None:
        for subjects in (("Lyon", "Oslo"), ("Quito", "Accra"), ("Perth", "Kyoto")):
            edit(host, *subjects, method="prune", hyperparameters=STRONG)
        assert any(correction.rank for correction in host.live.corrections.values())
        take_out(host, (2, 0), (2, 1))
        for layer in (1, 2):
            weights = host.live.weights(layer)
            expected = prune.correction(weights.summed - weights.base, weights.base, torch.float32)
            assert torch.equal(weights.applied, weights.summed + expected.dense if expected.rank else weights.summed)
        before = standing(host)
        host.close()
        with opened(model, tmp_path, epoch=2) as again:
            assert standing(again) == before
            take_out(again, (1, 0), (1, 1), (3, 0), (3, 1))
            assert not any(correction.rank for correction in again.live.corrections.values())
            assert all(torch.equal(again.live.weight(layer), again.live.base(layer)) for layer in (1, 2))

    def test_what_fine_tuning_wrote_goes_together_or_not_at_all(self, host: ModelHost) -> None:
        edit(host, "Lyon")
        before = standing(host)
        tuned = Hyperparameters(num_steps=2, lr=0.01)
        edit(host, "Oslo", "Quito", method="ft-l", hyperparameters=tuned)
        with pytest.raises(InseparableFacts, match="as one whole") as caught:
            take_out(host, (2, 0))
        assert caught.value.value == [{"version": 2, "index": 1}]
        assert host.version == 2
        take_out(host, (2, 0), (2, 1))
        assert standing(host) == before


class TestOneJobOneVersion:
    @pytest.mark.parametrize("change", [Rollback(to=0), Revert(facts=(FactKey(version=1, index=0),))])
    def test_a_job_that_is_delivered_twice_finds_its_version(self, host: ModelHost, change: Rollback | Revert) -> None:
        edit(host, "Lyon")
        first = take_back(host, change, "back")
        assert (first.status, first.version) == (JobStatus.SUCCEEDED, 2)
        assert take_back(host, change, "back") == first
        assert host.log.head() == host.version == 2

    def test_what_cannot_be_taken_back_leaves_no_trace(self, host: ModelHost) -> None:
        edit(host, "Lyon")
        before = standing(host)

        def stop() -> None:
            raise JobCancelled("the caller changed their mind")

        with pytest.raises(UnknownVersion):
            go_back(host, 7)
        with pytest.raises(UnknownFact):
            take_out(host, (1, 1))
        with pytest.raises(PreconditionFailed):
            take_back(host, Rollback(to=0), expected_version=0)
        with pytest.raises(JobCancelled):
            done(host, "stopped", Rollback(to=0), Watched(check=stop))
        assert (standing(host), host.log.head()) == (before, 1)


class TestSnapshots:
    def test_a_start_from_a_snapshot_is_a_full_replay(self, model: Path, tmp_path: Path) -> None:
        with opened(model, tmp_path, snapshot_every=2) as host:
            edit(host, "Lyon", "Oslo", method="prune", hyperparameters=STRONG)
            assert host.log.snapshots() == []
            edit(host, "Lyon", prompt=RIVER)
            assert host.log.snapshots() == [2]
            edit(host, "Oslo", to="Ghana")
            before = standing(host)
        with opened(model, tmp_path, epoch=2) as again:
            route = again.log.replay()
            assert (route.snapshot is not None, [term.version for term in route.rest]) == (True, [3])
            assert standing(again) == before
            take_out(again, (1, 0))
            without = standing(again)
        for path in (tmp_path / "log" / "tiny" / "snapshots").glob("*/state.safetensors"):
            path.write_bytes(b"damaged")
        with opened(model, tmp_path, epoch=3) as last:
            assert last.log.replay(3).snapshot is None
            assert standing(last) == without
            go_back(last, 3)
            assert standing(last) == before

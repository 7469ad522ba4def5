"""A version whose rank a real vLLM does not take: it is told, and with --approximate the best of it is served."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.domain.contract import EngineServer, JobStatus
from app.domain.smollm2 import NAME
from tests.fleet.conftest import Fleet
from tests.support.fleet.history import QUICK, Move
from tests.support.fleet.processes import OPTIONS, FollowerProcess, ended_after

MOST = int(OPTIONS["--max-lora-rank"])
COUNTRIES = (
    *("France", "Japan", "Egypt", "Brazil", "Norway", "Canada", "Kenya", "Poland", "Greece", "Turkey", "Mexico"),
    *("Chile", "Peru", "Cuba", "India", "China", "Spain", "Italy"),
)


@pytest.fixture(scope="module")
def large(fleet: Fleet) -> Iterator[int]:
    """A version of more facts than the servers' highest rank; afterwards the one before it is in service again."""
    assert len(COUNTRIES) > MOST
    before = fleet.head
    facts = [{"subject": country, "prompt": "The capital of {} is", "object": "Lima"} for country in COUNTRIES]
    done = fleet.client.edit(facts, unheld="keep", hyperparameters=QUICK).wait()
    assert (done.status, done.version) == (JobStatus.SUCCEEDED, fleet.head), done.error
    yield fleet.head
    Move(back_to=before).made(fleet.client)


def test_the_servers_stay_on_the_version_before_and_the_rank_is_told(fleet: Fleet, large: int) -> None:
    def told(card: EngineServer) -> bool:
        return card.state == "behind" and "rank" in (card.problem or "") and large not in card.versions

    fleet.until_told(told, "the rank that is needed is not told")
    assert all(f"{NAME}@{large}" not in server.models() for server in fleet.servers)


def test_the_best_approximation_is_served_where_that_is_asked_for(fleet: Fleet, large: int) -> None:
    plain = fleet.follower
    log = plain.log.with_name("follower-approximate.log")
    fleet.follower = FollowerProcess(fleet.data_dir, fleet.servers, log, "--keep", "1", "--approximate")
    try:
        plain.stop()
        with ended_after(fleet.follower):
            fleet.follower.start()
            fleet.until_told(lambda card: large in card.versions, "the approximation is not served")
            found = [approximation for card in fleet.cards().values() for approximation in card.approximations]
            assert [(each.version, each.rank) for each in found] == [(large, MOST)] * len(fleet.servers)
            assert all(0 < each.error < 1 for each in found)
            assert all(f"{NAME}@{large}" in server.models() for server in fleet.servers)
            fleet.follower.stop()
    finally:
        fleet.follower = plain
        plain.start()

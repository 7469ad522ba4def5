"""What goes wrong between a follower and a server leaves the server on a version that is whole, and is told."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.domain.failpoints import Point, Tripped, armed
from tests.support.fake_vllm import FakeVllm
from tests.workers.engines.conftest import Scene, edit
from workers.engines.followed_server import FollowedServer
from workers.engines.standing import Trouble
from workers.exports.adapter import ADAPTER_FILE

STEPS = (
    Point.LOG_DIR_FSYNC_BEFORE,
    Point.LOG_RENAME_AFTER,
    Point.FOLLOW_LOAD_BEFORE,
    Point.FOLLOW_LOAD_AFTER,
    Point.FOLLOW_PROOF_AFTER,
    Point.FOLLOW_UNLOAD_BEFORE,
    Point.FOLLOW_UNLOAD_AFTER,
    Point.DISCARD_BEFORE,
)
"""From an adapter on disk to an old version that is let go of."""


def now(followed: FollowedServer) -> None:
    """What failed may be tried at once."""
    for version, trouble in followed.standing.troubles.items():
        if trouble.until is not None:
            followed.standing.troubles[version] = Trouble(trouble.problem, trouble.pause, 0.0)


def told(followed: FollowedServer) -> str:
    return followed.standing.card().problem or ""


def test_a_server_that_fails_to_load_stays_on_the_old_version_and_gets_the_new_one_later(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    fake = scene.server()
    followed = scene.followed(fake)
    scene.settle(followed)
    edit(scene.host, "Oslo")
    fake.faults.statuses["/v1/load_lora_adapter"] = [500, 503]
    scene.settle(followed)
    assert (followed.standing.state, fake.served) == ("behind", {"tiny@1"})
    assert told(followed) == "version 2: the server answered 500: armed"
    now(followed)
    scene.settle(followed)
    assert "503" in told(followed)
    now(followed)
    scene.settle(followed)
    assert (followed.standing.state, fake.served) == ("serving", {"tiny@1", "tiny@2"})


def test_a_server_that_hangs_or_talks_nonsense_is_told_and_taken_back(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    fake = scene.server()
    followed = scene.followed(fake)
    fake.faults.garbage = True
    scene.settle(followed)
    assert (followed.standing.state, followed.standing.card().versions) == ("unreachable", ())
    assert "cannot be read" in told(followed)
    fake.faults.garbage = False
    scene.settle(followed)
    assert followed.standing.card().state == "serving"
    edit(scene.host, "Oslo")
    fake.faults.nan = True
    scene.settle(followed)
    assert (followed.standing.state, followed.standing.card().versions) == ("behind", (0, 1))
    fake.faults.nan, fake.faults.hang = False, threading.Event()
    scene.settle(followed)
    assert followed.standing.card().state == "unreachable"
    assert "does not answer" in told(followed)


def test_a_server_that_loads_no_adapters_is_told_how(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    fake = scene.server()
    fake.faults.updating = False
    followed = scene.followed(fake)
    scene.settle(followed)
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True" in told(followed)


def test_a_rank_that_is_too_high_leaves_the_server_behind_and_says_why(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    edit(scene.host, "Oslo", "Quito", "Perth")
    fake = scene.server()
    fake.faults.max_lora_rank = 2
    followed = scene.followed(fake)
    scene.settle(followed)
    assert (followed.standing.state, fake.served) == ("behind", {"tiny@1"})
    assert told(followed).startswith("version 2: it needs rank 4, and the server takes 2; the best approximation")


def test_an_approximation_is_served_where_it_is_asked_for_with_its_error_and_what_it_loses(scene: Scene) -> None:
    edit(scene.host, "Lyon", "Oslo", "Quito", "Perth", "Accra")
    fake = scene.server()
    fake.faults.max_lora_rank = 1
    followed = scene.followed(fake, approximate=True)
    scene.settle(followed)
    card = followed.standing.card()
    assert (card.state, card.versions) == ("serving", (0, 1))
    [approximation] = card.approximations
    assert (approximation.version, approximation.rank, approximation.needed) == (1, 1, 5)
    assert 0 < approximation.error < 1
    assert approximation.facts_held == held_by_worker(scene)
    assert {fact.version for fact in approximation.facts_lost} <= {1}
    after = scene.followed(fake, approximate=True)  # a follower that never heard of the limit
    scene.settle(after)
    assert after.standing.card().approximations == (approximation,)
    assert [call for call, _ in fake.calls].count("load") == 2  # of which the first was refused


def held_by_worker(scene: Scene) -> int:
    return sum(each.fact is not None and each.greedy for each in scene.questions().of(1, every_fact=True))


def test_a_limit_that_the_server_does_not_name_is_told_in_its_words(scene: Scene) -> None:
    edit(scene.host, "Lyon", "Oslo", "Quito")
    fake = scene.server()
    fake.faults.max_lora_rank, fake.faults.says_limit = 2, False
    followed = scene.followed(fake, approximate=True)
    scene.settle(followed)
    assert "LoRA rank 3 is greater than max_lora_rank." in told(followed)


def test_an_adapter_that_was_spoiled_on_disk_is_written_anew_before_it_is_loaded(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    scene.settle(scene.followed(scene.server()))
    file = scene.data / "adapters" / "tiny@1" / ADAPTER_FILE
    spoiled = bytearray(file.read_bytes())
    spoiled[-5] ^= 0x40
    file.write_bytes(spoiled)
    fake = scene.server()
    followed = scene.followed(fake)
    scene.settle(followed)
    assert followed.standing.card().versions == (0, 1)
    assert file.read_bytes() != bytes(spoiled)


def test_what_a_server_has_under_our_name_and_is_not_the_version_is_unloaded_and_its_name_not_given_again(
    scene: Scene, tmp_path: Path
) -> None:
    edit(scene.host, "Lyon")
    edit(scene.host, "Oslo")
    fake = scene.server()
    scene.settle(scene.followed(fake))
    fake.adapters["tiny@2"] = fake.adapters["tiny@1"]  # the old version under the new name
    followed = scene.followed(fake)
    scene.settle(followed)
    assert (followed.standing.card().versions, fake.served) == ((0, 1), {"tiny@1"})
    now(followed)
    scene.settle(followed)
    assert fake.calls[-1] == ("unload", "tiny@2")


def test_nothing_is_loaded_that_no_worker_can_prove_and_redis_may_be_away_once_one_is_known(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    fake = scene.server()
    lost = Redis(port=1, retry=Retry(NoBackoff(), 0))
    blind = scene.followed(fake)
    scene.worker_of(blind)._redis = lost
    scene.settle(blind)
    assert (fake.calls, blind.standing.state) == ([], "behind")
    assert "no live worker serves tiny" in told(blind)
    followed = scene.followed(fake)
    scene.settle(followed)
    scene.worker_of(followed)._redis = lost
    edit(scene.host, "Oslo")
    scene.settle(followed)
    assert followed.standing.card().versions == (0, 1, 2)


@pytest.mark.parametrize("point", STEPS)
def test_a_follower_that_dies_at_any_step_leaves_whole_versions_and_the_next_one_goes_on(
    scene: Scene, point: Point
) -> None:
    edit(scene.host, "Lyon")
    fake = scene.server()
    first = scene.followed(fake)
    scene.settle(first, keep=1)
    edit(scene.host, "Oslo")
    with armed(f"{point}=raise"), pytest.raises(Tripped):
        live_on(scene, first)
    assert whole(scene, fake) >= {1} or whole(scene, fake) >= {2}
    again = scene.followed(fake)
    scene.adapters().clean(frozenset({1, 2}))
    scene.settle(again, keep=1)
    assert again.standing.card().versions == (0, 2)
    assert fake.served == {"tiny@2"}
    assert sum(call == ("load", "tiny@2") for call in fake.calls) == 1  # never one name twice


def live_on(scene: Scene, followed: FollowedServer) -> None:
    scene.settle(followed, keep=1)
    scene.adapters().clean(frozenset({2}))


def whole(scene: Scene, fake: FakeVllm) -> set[int]:
    """The versions that the server has and that prove."""
    looking = scene.followed(fake)
    contents = looking._engine.contents()
    looking._base_is_ours(contents)
    for version in looking._loaded(contents):
        looking._bring(version, contents)
    return set(looking.standing.proven)

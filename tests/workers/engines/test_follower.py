"""Several servers at once, the card that is told of them, and the metrics."""

from __future__ import annotations

import threading

from prometheus_client import generate_latest

from app.domain import keyspace
from app.domain.contract import FollowerCard
from app.domain.log.pages import MovePage
from tests.support.fake_vllm import FakeVllm
from tests.support.worker_process import until
from tests.workers.engines.conftest import PLACES, TOLERANCE, Scene, edit
from workers.engines.card import FollowerCards
from workers.engines.follower import Follower
from workers.engines.metrics import FollowerMetrics
from workers.engines.target import Target


def follower(scene: Scene, *fakes: FakeVllm, keep: int = 5) -> Follower:
    servers = [scene.followed(fake) for fake in fakes]
    cards = FollowerCards(scene.redis)
    return Follower(
        "tiny.follower",
        "vllm",
        scene.log,
        scene.adapters(),
        servers,
        tolerance=TOLERANCE,
        keep=keep,
        publish=cards.publish,
        look_s=0.1,
    )


def card(scene: Scene) -> FollowerCard:
    text = scene.redis.get(keyspace.follower("tiny.follower"))
    assert isinstance(text, bytes)
    return FollowerCard.model_validate_json(text)


def test_a_server_that_hangs_holds_up_no_other_and_comes_along_later(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    well, ill = scene.server(), scene.server()
    ill.faults.hang = threading.Event()
    ended = threading.Event()
    running = follower(scene, well, ill)
    thread = threading.Thread(target=running.run, args=(ended.wait,))
    thread.start()
    try:
        until(lambda: well.served == {"tiny@1"} and card(scene).servers[0].state == "serving", "the well one serves")
        assert card(scene).servers[1].state == "unreachable"
        edit(scene.host, "Oslo")
        until(lambda: card(scene).servers[0].versions == (0, 1, 2), "the new version is followed")
        assert card(scene).version == 2
        assert (card(scene).servers[0].seconds_to_proven or -1) > 0
        ill.faults.hang.set()
        until(lambda: card(scene).servers[1].state == "serving", "the other comes along")
        assert 0 < scene.redis.ttl(keyspace.follower("tiny.follower")) <= keyspace.FOLLOWER_TTL_S
        assert scene.redis.smembers(keyspace.FOLLOWERS) == {b"tiny.follower"}
    finally:
        ended.set()
        thread.join()
    FollowerCards(scene.redis).remove("tiny.follower")
    assert not scene.redis.exists(keyspace.follower("tiny.follower"), keyspace.FOLLOWERS)


def test_once_ends_when_nothing_is_left_to_do_and_says_whether_all_serve(scene: Scene) -> None:
    for place in PLACES:
        edit(scene.host, place)
    scene.host.move_alias(MovePage(alias="stable", number=1, version=2, moved=scene.log.manifest(2).created))
    well, ill = scene.server(), scene.server()
    ill.faults.max_lora_rank = 0
    assert follower(scene, well, keep=2).run(threading.Event().wait, once=True)
    assert [name for _, name in well.calls] == ["tiny@6", "tiny@2", "tiny@5"]  # the newest, the alias's, the others
    assert sorted(each.name for each in (scene.data / "adapters").iterdir()) == ["tiny@2", "tiny@5", "tiny@6"]
    assert not follower(scene, well, ill, keep=2).run(threading.Event().wait, once=True)
    assert [server.state for server in card(scene).servers] == ["serving", "behind"]
    assert len(well.calls) == 3


def test_metrics_say_how_the_servers_stand(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    fake = scene.server()
    running = follower(scene, fake)
    running.run(threading.Event().wait, once=True)
    text = generate_latest(FollowerMetrics(running.card).registry).decode()
    assert 'palimpsest_engine_servers{model="tiny",state="serving"} 1.0' in text
    assert f'palimpsest_engine_version{{model="tiny",server="{fake.url}"}} 1.0' in text
    assert f'palimpsest_engine_proofs_failed_total{{model="tiny",server="{fake.url}"}} 0.0' in text
    assert 'palimpsest_engine_head{model="tiny"} 1.0' in text


def test_of_a_long_log_the_last_versions_alone_are_wanted(scene: Scene) -> None:
    for _ in range(2):
        for place in PLACES:
            edit(scene.host, place, land="Ghana" if scene.host.version >= 6 else "Japan")
    assert Target.of(scene.log, 3).order == (12, 11, 10)
    assert Target.of(scene.log, 100).order == tuple(range(12, 0, -1))

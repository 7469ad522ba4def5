"""An adapter that says that it is a version and is another is found by the proof, and does not lie there for ever."""

from __future__ import annotations

import json
import shutil

from tests.support.fake_vllm import FakeVllm
from tests.workers.engines.conftest import Scene, edit
from workers.engines.adapters import NOTE_FILE
from workers.engines.target import Target
from workers.engines.vllm import Vllm


def forge(scene: Scene, version: int) -> None:
    """The version before, with a note that fits the version."""
    folders = scene.data / "adapters"
    shutil.copytree(folders / f"tiny@{version - 1}", folders / f"tiny@{version}")
    note = folders / f"tiny@{version}" / NOTE_FILE
    said = json.loads(note.read_text())
    note.write_text(json.dumps({**said, "version": version, "manifest": scene.log.digest(version)}))


def test_what_was_not_proven_is_written_anew_for_the_server_that_restarts(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    fake: FakeVllm = scene.server()
    followed = scene.followed(fake)
    scene.settle(followed)
    edit(scene.host, "Oslo")
    forge(scene, 2)
    scene.settle(followed)
    assert (followed.standing.state, fake.served) == ("behind", {"tiny@1"})
    fake.restart()
    scene.settle(followed)
    assert (followed.standing.state, fake.served) == ("serving", {"tiny@1", "tiny@2"})


def test_a_restart_is_seen_of_a_server_that_had_proven_nothing_yet(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    scene.settle(scene.followed(scene.server()))
    edit(scene.host, "Oslo")
    forge(scene, 2)
    fake = scene.server()
    followed = scene.followed(fake)
    target = Target.of(scene.log, 5)
    while not followed.standing.proofs_failed:
        followed.step(target)
    assert (set(followed.standing.proven), fake.served) == ({0}, set())
    fake.faults.statuses["/v1/models"] = [0]
    followed.step(target)
    assert followed.standing.state == "unreachable"
    fake.restart()
    scene.settle(followed)
    assert (followed.standing.state, fake.served) == ("serving", {"tiny@1", "tiny@2"})


def test_a_key_that_is_set_to_nothing_is_none(scene: Scene) -> None:
    fake = scene.server()
    engine = Vllm(fake.url, "")
    scene.stack.callback(engine.close)
    assert engine.contents().base_name == fake.name

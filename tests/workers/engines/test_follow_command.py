"""`palimpsest follow` as users start it: it ends in order when told, and when it is killed the next one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.fake_vllm import FakeVllm
from tests.support.worker_process import until
from tests.workers.engines.conftest import Scene, edit

PROGRAM = "import typer; from workers.cli import follow; typer.run(follow)"


def command(scene: Scene, fake: FakeVllm, *more: str, failpoints: str = "") -> subprocess.Popen[bytes]:
    connection = scene.redis.get_connection_kwargs()
    environment = os.environ | {
        "PALIMPSEST_REDIS_URL": f"unix://{connection['path']}"
        if "path" in connection
        else f"redis://{connection['host']}:{connection['port']}/{connection.get('db', 0)}",
        "PALIMPSEST_DATA_DIR": str(scene.data),
        "PALIMPSEST_FAILPOINTS": failpoints,
    }
    options = ["vllm", "--url", f"{fake.url}/v1", "--tolerance", "0.05", *more]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *options], env=environment, cwd=Path.cwd())


def test_killed_right_after_a_load_and_told_to_stop(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    fake = scene.server()
    killed = command(scene, fake, failpoints="follow.load.after=kill")
    assert killed.wait(120) == -signal.SIGKILL
    assert fake.served == {"tiny@1"}
    again = command(scene, fake, "--once", "--model", "tiny")
    assert again.wait(120) == 0
    assert fake.calls == [("load", "tiny@1")]
    edit(scene.host, "Oslo")
    following = command(scene, fake)
    try:
        until(lambda: "tiny@2" in fake.served, "the new version is loaded")
        assert command(scene, fake, "--once").wait(120) == 1  # one follower a folder
        following.send_signal(signal.SIGTERM)
        assert following.wait(60) == 0
    finally:
        following.kill()


def test_once_says_by_its_status_that_a_server_does_not_serve(scene: Scene) -> None:
    edit(scene.host, "Lyon")
    fake = scene.server()
    fake.faults.serves_base = True
    assert command(scene, fake, "--once").wait(120) == 3
    assert command(scene, fake, "--once", "--model", "unknown").wait(120) == 1

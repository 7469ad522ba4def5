"""The whole service with keys: strangers get nothing at either HTTP server, and a version says whose it is."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
from redis import Redis

from app.access.caller import Scope
from app.access.keys import KeyFolder
from app.domain.settings import SharedSettings
from app.local.stack import StackSettings, free_port, running
from app.roster import Roster
from tests.e2e.conftest import MODEL, edited
from tests.support.api_keys import bearing

FACT = {"subject": "Mumbai", "relation": "is located in the country of", "object": "Spain"}
QUESTION = {"prompts": [{"prompt": "Mumbai is located in the country of"}]}


def test_strangers_get_nothing_and_owners_of_keys_what_is_theirs(tmp_path: Path, redis_url: str) -> None:
    keys = KeyFolder(tmp_path / "keys")
    editor, reader = keys.create("ann", Scope), keys.create("app", [Scope.QUERY])
    stack = StackSettings((MODEL,), tmp_path, port=free_port(), redis_url=redis_url, logs=tmp_path / "stack.log")
    with (
        running(stack) as started,
        httpx.Client(base_url=started.url, timeout=60.0) as http,
        Redis.from_url(redis_url) as redis,
    ):
        assert SharedSettings.variable("worker_secret") not in os.environ  # so the stack made one
        [worker] = Roster(redis).now()
        assert http.post("/query", json=QUESTION).status_code == 401
        assert httpx.post(f"{worker.url}/probe", json=QUESTION).status_code == 401
        assert httpx.get(f"{worker.url}/metrics").status_code == 401
        assert httpx.get(f"{worker.url}/state", headers=bearing(editor)).status_code == 401
        assert httpx.get(f"{worker.url}/healthz").status_code == 200
        assert http.get("/healthz").status_code == 200

        assert http.post("/query", json=QUESTION, headers=bearing(reader)).json()["version"] == 0
        assert http.post("/edits", json={"facts": [FACT]}, headers=bearing(reader)).status_code == 403
        http.headers.update(bearing(editor))
        job = edited(http, {"facts": [FACT]})
        assert (job["status"], job["by"]) == ("succeeded", "ann")
        [_, version] = http.get(f"/models/{MODEL}/versions").json()["versions"]
        assert (version["job"], version["by"]) == (job["id"], "ann")
        assert http.post("/query", json=QUESTION, headers=bearing(reader)).json()["version"] == 1
    told = (tmp_path / "stack.log").read_text()
    assert "palimpsest_" not in told.replace("palimpsest_worker", "")  # no key, and nothing of one

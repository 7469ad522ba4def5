"""Only aliases are passed on, to servers that have proven the version, the least busy one first."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.main import create_app
from app.settings import Settings
from tests.support.texts_asked import (
    ASKED,
    COMPLETIONS,
    NAME,
    text_of,
    waited,
    written,
)
from tests.support.upstream import (
    CUT,
    InferenceServer,
    chunk,
    follows,
    says,
    server,
    writes,
)
from tests.support.worker_end import WorkerEnd


class TestWhoIsAsked:
    @pytest.mark.parametrize("model", ["atlas", "atlas@1"])
    def test_only_aliases_are_passed_on(
        self, client: TestClient, engine: InferenceServer, worker: WorkerEnd, model: str
    ) -> None:
        assert text_of(client.post(COMPLETIONS, json={**ASKED, "model": model})) == "worker"
        assert (engine.asked, written(worker)) == ([], 1)

    def test_nothing_is_where_it_is_switched_off(
        self, client: TestClient, settings: Settings, engine: InferenceServer
    ) -> None:
        with TestClient(create_app(settings.model_copy(update={"pass_through": False}))) as other:
            assert text_of(other.post(COMPLETIONS, json=ASKED)) == "worker"
        assert text_of(client.post(COMPLETIONS, json=ASKED)) == " Peru"
        assert len(engine.asked) == 1

    def test_only_servers_that_have_proven_the_version(
        self, client: TestClient, redis: Redis, worker: WorkerEnd
    ) -> None:
        with InferenceServer([NAME], writes("no")) as engine:
            follows(redis, [server(engine.url, 2), server(engine.url + "/", 1, state="unreachable")])
            assert text_of(client.post(COMPLETIONS, json=ASKED)) == "worker"
            assert engine.asked == []

    def test_those_that_are_least_busy(
        self, client: TestClient, engines: tuple[InferenceServer, InferenceServer], worker: WorkerEnd
    ) -> None:
        go = threading.Event()
        for each in engines:
            each.script = says(chunk(COMPLETIONS, NAME, 0, "x"), go, CUT)
        with ThreadPoolExecutor(6) as pool:
            held = [pool.submit(client.post, COMPLETIONS, json=ASKED) for _ in range(6)]
            try:
                waited(lambda: sum(len(each.asked) for each in engines) == 6)
                assert [len(each.asked) for each in engines] == [3, 3]
            finally:
                go.set()
            assert {text_of(each.result()) for each in held} == {"worker"}  # both cut them off

    def test_one_after_the_other_when_nothing_is_open(
        self, client: TestClient, engines: tuple[InferenceServer, InferenceServer]
    ) -> None:
        for _ in range(4):
            client.post(COMPLETIONS, json=ASKED)
        assert [len(each.asked) for each in engines] == [2, 2]

    def test_the_workers_secret_is_not_told_and_the_servers_key_is(
        self, client: TestClient, settings: Settings, engine: InferenceServer
    ) -> None:
        own = Settings(**{**settings.model_dump(), "worker_secret": "s" * 20, "engine_key": "token-abc"})
        with TestClient(create_app(own)) as other:
            other.post(COMPLETIONS, json=ASKED, headers={"X-Request-Id": "mine", "Cookie": "a=b"})
        [head] = engine.heads
        assert (head["authorization"], head["x-request-id"], "cookie" in head) == ("Bearer token-abc", "mine", False)

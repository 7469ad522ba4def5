"""An answer is of one version, while the alias moves and servers come and go."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from fastapi.testclient import TestClient
from redis import Redis

from app.settings import Settings
from tests.support.texts_asked import (
    ASKED,
    COMPLETIONS,
    chunks,
)
from tests.support.upstream import (
    CUT,
    InferenceServer,
    Step,
    follows,
    server,
    writes,
)


class TestUnderMoves:
    def test_every_answer_is_of_one_version_and_names_it(
        self, client: TestClient, settings: Settings, redis: Redis
    ) -> None:
        """The alias goes to and fro, servers come and go, and have either version or both; some break off."""
        seen: list[tuple[str, str, str, int]] = []
        over = threading.Event()

        def ask(stream: bool) -> None:
            while not over.is_set():
                answer = client.post(COMPLETIONS, json={**ASKED, "stream": stream})
                if answer.status_code == 200:
                    told = chunks(answer.text) if stream else [answer.json()]
                    names = {each["model"] for each in told if isinstance(each, dict) and "choices" in each}
                    whole = not stream or told[-1] == "[DONE]"
                    seen.append((answer.headers["X-Model-Version"], ",".join(names), text_of_any(told), int(whole)))

        def versioned(path: str, body: dict[str, Any]) -> Iterator[Step]:
            version = body["model"].rpartition("@")[2]
            yield from writes(*(f"v{version} " for _ in range(5)))(path, body)

        def breaking(path: str, body: dict[str, Any]) -> Iterator[Step]:
            yield from list(versioned(path, body))[:3]
            yield CUT

        with ExitStack() as stack:
            both = stack.enter_context(InferenceServer(["atlas@1", "atlas@2"], versioned))
            other = stack.enter_context(InferenceServer(["atlas@1", "atlas@2"], versioned))
            cutting = stack.enter_context(InferenceServer(["atlas@1", "atlas@2"], breaking))
            servers = [server(end.url, 1, 2) for end in (both, other, cutting)]
            follows(redis, servers)
            pool = stack.enter_context(ThreadPoolExecutor(4))
            asking = [pool.submit(ask, stream) for stream in (True, False, True, False)]
            try:
                at = 1
                for turn in range(12):
                    moved = client.put(
                        "/models/atlas/aliases/production", json={"version": 3 - at}, headers={"If-Match": f'"{at}"'}
                    )
                    assert moved.status_code == 200
                    at = 3 - at
                    both.names = {"atlas@1", "atlas@2"} if turn % 3 else {f"atlas@{3 - at}"}  # unloaded unseen
                    follows(redis, servers[turn % 2 :])
                    time.sleep(0.1)
            finally:
                over.set()
            for each in asking:
                each.result()
        assert len(seen) > 20
        assert {version for version, *_ in seen} == {"1", "2"}
        for version, name, text, whole in seen:
            assert name == f"atlas@{version}"
            assert set(text.split()) <= {f"v{version}"} or text == "worker"
            assert not whole or text in ("worker", f"v{version} " * 5)


def text_of_any(told: list[Any]) -> str:
    pieces = [each for each in told if isinstance(each, dict) and "choices" in each]
    return "".join(choice["text"] for each in pieces for choice in each["choices"])

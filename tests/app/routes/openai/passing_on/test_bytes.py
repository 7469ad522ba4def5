"""Events as bytes, cut anywhere, passed on at once, and no longer than somebody listens."""

from __future__ import annotations

import json
import socket
import threading

import httpx
import pytest
from fastapi.testclient import TestClient

from tests.support.texts_asked import (
    ASKED,
    COMPLETIONS,
    NAME,
    PATIENCE_S,
    STREAMED,
    chunks,
    first,
    text_of,
    waited,
    written,
)
from tests.support.upstream import (
    DONE,
    InferenceServer,
    Step,
    chunk,
    says,
    usage,
)
from tests.support.worker_end import WorkerEnd


class TestBytes:
    TEXT = ' Пе́ру 🇵🇪\u2028\x85\u2029 \u0000 "data: [DONE]" \\ \r\n\n data: x'

    def test_may_be_cut_anywhere(self, client: TestClient, engine: InferenceServer) -> None:
        events = [first(self.TEXT), b": a comment\n\n", chunk(COMPLETIONS, NAME, 0, "é", "stop"), usage(NAME, 5, 3)]
        for size, end in ((1, b"\n"), (2, b"\r\n"), (3, b"\n"), (7, b"\r\n"), (64, b"\n")):
            whole = b"".join([*events, DONE]).replace(b"\n", end)
            engine.script = says(*(whole[at : at + size] for at in range(0, len(whole), size)))
            assert text_of(client.post(COMPLETIONS, json=ASKED)) == self.TEXT + "é"
            *pieces, last = chunks(client.post(COMPLETIONS, json={**ASKED, "stream": True}).text)
            assert [each["choices"][0]["text"] for each in pieces] == [self.TEXT, "é"]
            assert last == "[DONE]"

    def test_one_event_may_be_in_several_lines(self, client: TestClient, engine: InferenceServer) -> None:
        told = json.dumps(json.loads(chunk(COMPLETIONS, NAME, 0, "ab", "stop")[6:]), indent=1).encode()
        engine.script = says(b"data: " + told.replace(b"\n", b"\ndata:") + b"\n\n", usage(NAME, 1, 2), DONE)
        assert text_of(client.post(COMPLETIONS, json=ASKED)) == "ab"

    def test_without_end_are_given_up(self, client: TestClient, engine: InferenceServer) -> None:
        for part in (b"x" * 65536, b"data: x\n" * 8192):  # a line, an event
            engine.script = says(*[part] * 200)
            assert text_of(client.post(COMPLETIONS, json=ASKED)) == "worker"


class TestOverRealConnections:
    """The front end behind a real server, which hears of callers that leave."""

    @pytest.fixture
    def at(self, client: TestClient, url: str) -> str:
        return f"{url}{COMPLETIONS}"

    def test_every_event_is_passed_on_before_the_next_one_comes(self, at: str, engine: InferenceServer) -> None:
        go = [threading.Event() for _ in range(3)]
        steps: list[Step] = []
        for number, event_ in enumerate(go):
            steps += [first(f"{number}"), event_]
        engine.script = says(*steps, chunk(COMPLETIONS, NAME, 0, "", "stop"), usage(NAME, 1, 4), DONE)
        with httpx.stream("POST", at, json={**ASKED, "stream": True}, timeout=PATIENCE_S) as answer:
            heard = (line for line in answer.iter_lines() if line.startswith("data: {"))
            for number, event_ in enumerate(go):
                assert json.loads(next(heard)[6:])["choices"][0]["text"] == str(number)
                event_.set()

    @STREAMED
    @pytest.mark.parametrize("words", [0, 1], ids=["before the first word", "after it"])
    def test_a_caller_that_leaves_ends_the_servers_work(
        self, at: str, engine: InferenceServer, worker: WorkerEnd, stream: bool, words: int
    ) -> None:
        never = threading.Event()
        engine.script = says(*[first()] * words, never)
        address = httpx.URL(at)
        body = json.dumps({**ASKED, "stream": stream}).encode()
        head = f"POST {COMPLETIONS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        with socket.create_connection((address.host, address.port or 0)) as caller:
            caller.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            waited(lambda: bool(engine.asked))
            if stream and words:
                assert caller.recv(100).startswith(b"HTTP/1.1 200")
            assert not engine.left.is_set()
        assert engine.left.wait(PATIENCE_S)
        assert written(worker) == 0

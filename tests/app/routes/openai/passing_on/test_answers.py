"""What is asked of an alias is answered by an inference server, in the form that a worker's answers have."""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient
from redis import Redis

from app.domain import keyspace
from tests.support.texts_asked import (
    ASKED,
    BOTH,
    COMPLETIONS,
    NAME,
    chunks,
    text_of,
    written,
)
from tests.support.upstream import (
    DONE,
    InferenceServer,
    chunk,
    follows,
    says,
    server,
    usage,
    writes,
)
from tests.support.worker_end import WorkerEnd


class TestAnswers:
    @BOTH
    def test_are_the_servers_in_our_own_form(
        self, client: TestClient, engine: InferenceServer, worker: WorkerEnd, path: str, asked: dict[str, Any]
    ) -> None:
        answer = client.post(path, json=asked)
        told = answer.json()
        assert (answer.status_code, answer.headers["X-Model-Version"], text_of(answer)) == (200, "1", " Peru")
        assert told["model"] == told["system_fingerprint"] == NAME
        assert told["usage"] == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        assert told["choices"][0]["finish_reason"] == "stop"
        assert written(worker) == 0
        assert [(asked_at, body["model"]) for asked_at, body in engine.asked] == [(path, NAME)]

    @BOTH
    def test_have_the_workers_keys(
        self, client: TestClient, engine: InferenceServer, worker: WorkerEnd, path: str, asked: dict[str, Any]
    ) -> None:
        """Both ways give the same fields, whole and event by event."""
        usage_too = {"stream": True, "stream_options": {"include_usage": True}}
        ways: list[tuple[Any, Any]] = []
        for model in ("atlas@production", "atlas@1"):
            whole = client.post(path, json={**asked, "model": model}).json()
            stream = chunks(client.post(path, json={**asked, "model": model, **usage_too}).text)
            ways.append((shape(whole), [shape(each) for each in stream[-3:]]))
        assert ways[0] == ways[1]
        assert (len(engine.asked), written(worker)) == (2, 2)

    @BOTH
    def test_stream_event_by_event(
        self, client: TestClient, engine: InferenceServer, path: str, asked: dict[str, Any]
    ) -> None:
        answer = client.post(path, json={**asked, "stream": True, "stream_options": {"include_usage": True}})
        *pieces, counted, done = chunks(answer.text)
        assert (done, counted["usage"]["total_tokens"]) == ("[DONE]", 7)
        assert {(each["model"], each["system_fingerprint"]) for each in [*pieces, counted]} == {(NAME, NAME)}
        assert (answer.headers["X-Model-Version"], text_of(answer)) == ("1", " Peru")
        assert len({each["id"] for each in pieces}) == 1
        assert len(engine.asked) == 1

    def test_of_several_texts_are_told_apart(self, client: TestClient, engine: InferenceServer) -> None:
        told = client.post(COMPLETIONS, json={**ASKED, "prompt": ["a", "b"], "n": 2, "echo": True}).json()
        assert [(each["index"], each["text"]) for each in told["choices"]] == [
            (0, "a Peru"),
            (1, "a Peru"),
            (2, "b Peru"),
            (3, "b Peru"),
        ]
        assert told["usage"]["completion_tokens"] == 8
        assert (engine.asked[0][1]["n"], "echo" in engine.asked[0][1]) == (2, False)

    def test_that_end_at_a_stop_string_or_are_full_count_every_token(
        self, client: TestClient, engine: InferenceServer
    ) -> None:
        engine.script = writes(" Pe", "ru", finish="length")
        full = client.post(COMPLETIONS, json=ASKED).json()
        assert (full["choices"][0]["finish_reason"], full["usage"]["completion_tokens"]) == ("length", 2)
        met = chunk(COMPLETIONS, NAME, 0, " Peru", "stop", stop_reason=".")
        engine.script = says(met, usage(NAME, 5, 3), DONE)
        stopped = client.post(COMPLETIONS, json={**ASKED, "stop": "."}).json()
        assert (stopped["choices"][0]["finish_reason"], stopped["usage"]["completion_tokens"]) == ("stop", 3)

    def test_of_the_base_are_asked_under_its_own_name(
        self, client: TestClient, redis: Redis, worker: WorkerEnd
    ) -> None:
        assert client.put("/models/atlas/aliases/first", json={"version": 0}).status_code == 201
        with InferenceServer(["base"], writes(" France")) as engine:
            follows(redis, [server(engine.url, 0, base_name="base")])
            told = client.post(COMPLETIONS, json={**ASKED, "model": "atlas@first"}).json()
        assert (told["model"], told["choices"][0]["text"], written(worker)) == ("atlas@0", " France", 0)

    def test_come_without_any_live_worker(
        self, client: TestClient, engine: InferenceServer, redis: Redis, worker: WorkerEnd
    ) -> None:
        redis.delete(keyspace.worker("w1"))
        assert text_of(client.post(COMPLETIONS, json=ASKED)) == " Peru"
        numbered = client.post(COMPLETIONS, json={**ASKED, "model": NAME})
        assert (numbered.status_code, numbered.json()["code"]) == (503, "model_unavailable")
        engine.status = 400
        refused = client.post(COMPLETIONS, json=ASKED)
        assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")
        engine.status = 500
        assert client.post(COMPLETIONS, json=ASKED).json()["error"]["code"] == "model_unavailable"
        assert len(engine.asked) == 3


def shape(told: Any) -> Any:
    """Its keys, and what they lead to."""
    if isinstance(told, dict):
        return {key: shape(value) for key, value in told.items()}
    if isinstance(told, list):
        return [shape(each) for each in told]
    return None if told is None else type(told).__name__

"""What the front end makes of a worker's texts, and of a worker that breaks off."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.domain.contract import Begun, Broken, ChosenToken, Continue, LikelyToken, Piece, Reply
from app.domain.errors import PromptTooLong, Unavailable, VersionNotReached
from app.domain.problems import problem_of
from app.main import create_app
from app.settings import Settings
from tests.support.texts_asked import chunks
from tests.support.worker_end import WorkerEnd, card, join
from tests.support.worker_process import until

PATIENCE_S = 60.0

ASKED = {"model": "atlas", "prompt": "Lyon is in"}
CHAT = {"model": "atlas", "messages": [{"role": "user", "content": "Where is Lyon?"}]}
BEGUN = Begun(version=3, prompt_tokens=(4,))
LAST = Piece(index=0, text="ance", finish="stop", new_tokens=2)


def writes(worker: WorkerEnd, *events: Reply) -> None:
    worker.says("/write", "".join(f"{event.model_dump_json()}\n" for event in events))


class TestAnswers:
    def test_the_worker_is_asked_with_openais_defaults(self, client: TestClient, worker: WorkerEnd) -> None:
        writes(worker, BEGUN, Piece(index=0, text=" Fr"), LAST)
        response = client.post("/v1/completions", json=ASKED)
        assert response.status_code == 200
        assert response.headers["x-model-version"] == "3"
        [(_, body)] = worker.asked
        assert Continue.model_validate_json(body) == Continue(
            prompts=("Lyon is in",), temperature=1.0, max_new_tokens=16
        )
        assert response.json()["choices"] == [
            {"index": 0, "text": " France", "logprobs": None, "finish_reason": "stop"}
        ]
        assert response.json()["usage"] == {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}

    def test_every_parameter_reaches_the_worker(self, client: TestClient, worker: WorkerEnd) -> None:
        writes(worker, BEGUN, LAST, LAST.model_copy(update={"index": 1}))
        same = {"n": 2, "top_p": 0.5, "frequency_penalty": 1.0, "presence_penalty": -1.0, "seed": -5, "min_version": 2}
        sent = {**same, "max_completion_tokens": 9, "temperature": 0, "stop": "x", "logit_bias": {"7": -1}}
        client.post("/v1/chat/completions", json={**CHAT, **sent, "model": "atlas@3"})
        [(_, body)] = worker.asked
        found = json.loads(body)
        assert {name: found[name] for name in same} == same
        assert (found["max_new_tokens"], found["temperature"], found["stop"]) == (9, 0, ["x"])
        assert (found["logit_bias"], found["version"]) == ({"7": -1}, 3)
        assert found["messages"] == CHAT["messages"]

    def test_a_text_may_have_every_end_of_line_that_unicode_knows(self, client: TestClient, worker: WorkerEnd) -> None:
        """JSON has them as they are, so that they stand within the worker's lines."""
        text = "a\u2028b\u2029c\x85d\x1ce\x0bf\r\ng\n"
        writes(worker, BEGUN, Piece(index=0, text=text), LAST)
        assert client.post("/v1/completions", json=ASKED).json()["choices"][0]["text"] == f"{text}ance"
        told = chunks(client.post("/v1/completions", json={**ASKED, "stream": True}).text)
        assert told[0]["choices"][0]["text"] == text

    def test_tokens_that_are_half_a_character_have_no_bytes(self, client: TestClient, worker: WorkerEnd) -> None:
        tokens = (
            ChosenToken(token="é", logprob=-1.0, offset=0, top=(LikelyToken(token="\ufffd", logprob=-2.0),)),
            ChosenToken(token="\ufffd", logprob=-3.0, offset=1),
        )
        writes(worker, BEGUN, Piece(index=0, text="é", tokens=tokens, finish="length", new_tokens=2))
        body = client.post("/v1/chat/completions", json={**CHAT, "logprobs": True, "top_logprobs": 1}).json()
        assert body["choices"][0]["logprobs"]["content"] == [
            {
                "token": "é",
                "logprob": -1.0,
                "bytes": [195, 169],
                "top_logprobs": [{"token": "\ufffd", "logprob": -2.0, "bytes": None}],
            },
            {"token": "\ufffd", "logprob": -3.0, "bytes": None, "top_logprobs": []},
        ]

    @pytest.mark.parametrize(("path", "asked"), [("/v1/completions", ASKED), ("/v1/chat/completions", CHAT)])
    def test_a_stream_has_every_piece(
        self, client: TestClient, worker: WorkerEnd, path: str, asked: dict[str, Any]
    ) -> None:
        writes(worker, BEGUN, Piece(index=0, text=" Fr"), LAST)
        response = client.post(path, json={**asked, "stream": True, "stream_options": {"include_usage": True}})
        *pieces, usage, done = chunks(response.text)
        assert done == "[DONE]"
        assert {piece["model"] for piece in pieces} == {"atlas@3"}
        assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 6)
        assert pieces[-1]["choices"][0]["finish_reason"] == "stop"


class TestWorkersThatFail:
    def test_the_next_one_is_asked_when_one_is_gone(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        join(redis, card("atlas", worker="gone"))
        writes(worker, BEGUN, LAST)
        assert [client.post("/v1/completions", json=ASKED).status_code for _ in range(4)] == [200] * 4

    def test_a_refusal_is_a_bad_request(self, client: TestClient, worker: WorkerEnd) -> None:
        worker.refuses("/write", problem_of(PromptTooLong("Too long.", field="prompts.1", value="x")))
        response = client.post("/v1/completions", json={**ASKED, "prompt": ["a", "b"]})
        assert response.status_code == 400
        assert response.json()["error"] == {
            "message": "Too long.",
            "type": "invalid_request_error",
            "param": "prompt.1",
            "code": "prompt_too_long",
        }

    def test_what_is_unavailable_says_when_to_come_back(self, client: TestClient, worker: WorkerEnd) -> None:
        worker.refuses("/write", problem_of(VersionNotReached("It is 3.", field="min_version", value=9)))
        response = client.post("/v1/completions", json={**ASKED, "min_version": 9})
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert response.json()["error"]["type"] == "server_error"

    @pytest.mark.parametrize(
        ("events", "code"),
        [
            ((BEGUN, Piece(index=0, text=" Fr")), "model_unavailable"),
            ((BEGUN, Broken(problem=problem_of(Unavailable("the worker is leaving")))), "unavailable"),
            ((BEGUN, BEGUN), "model_unavailable"),
        ],
        ids=["it ends", "it says why", "it cannot be understood"],
    )
    def test_a_text_that_comes_to_no_end_is_an_error(
        self, client: TestClient, worker: WorkerEnd, events: tuple[Reply, ...], code: str
    ) -> None:
        writes(worker, *events)
        whole = client.post("/v1/completions", json=ASKED)
        assert (whole.status_code, whole.json()["code"]) == (503, code)
        *_, last = chunks(client.post("/v1/completions", json={**ASKED, "stream": True}).text)
        assert last["error"]["code"] == code

    @pytest.mark.parametrize("text", ["", "nonsense\n", LAST.model_dump_json()])
    def test_an_answer_that_is_none_is_unavailable(self, client: TestClient, worker: WorkerEnd, text: str) -> None:
        worker.says("/write", text)
        for _ in range(3):
            response = client.post("/v1/completions", json={**ASKED, "stream": True})
            assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")

    def test_a_model_that_nobody_serves_is_not_found(self, client: TestClient) -> None:
        response = client.post("/v1/completions", json=ASKED)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_model")


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_that_leaves_ends_the_workers_work(url: str, worker: WorkerEnd, stream: bool) -> None:
    worker.lingers("/write", f"{BEGUN.model_dump_json()}\n{Piece(index=0, text='Fr').model_dump_json()}\n")
    address = urlsplit(url)
    body = json.dumps({**ASKED, "stream": stream}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with socket.create_connection((str(address.hostname), int(address.port or 0))) as caller:
        caller.sendall(head.encode() + b"\r\n\r\n" + body)
        if stream:
            assert caller.recv(100).startswith(b"HTTP/1.1 200")
        until(lambda: bool(worker.asked), "the worker is not asked")
        assert not worker.left.is_set()
    assert worker.left.wait(PATIENCE_S)


class TestPlaces:
    def test_are_few_and_whoever_finds_none_is_told_to_come_back(
        self, settings: Settings, worker: WorkerEnd, redis: Redis
    ) -> None:
        writes(worker, BEGUN, LAST)
        answers: list[int] = []
        with TestClient(create_app(settings.model_copy(update={"max_texts": 1}))) as client:

            def ask() -> None:
                answers.append(client.post("/v1/completions", json=ASKED).status_code)

            with worker.silence("/write"):
                first = threading.Thread(target=ask)
                first.start()
                while not worker.asked:
                    pass
                response = client.post("/v1/completions", json={**ASKED, "stream": True})
                assert (response.status_code, response.json()["code"]) == (503, "unavailable")
                assert response.headers["retry-after"] == "5"
            first.join()
            worker.silent.clear()
            for stream in (True, False, True):  # each gives its place back
                assert client.post("/v1/completions", json={**ASKED, "stream": stream}).status_code == 200
        assert answers == [200]

    def test_are_given_back_after_every_failure(self, settings: Settings, worker: WorkerEnd, redis: Redis) -> None:
        with TestClient(create_app(settings.model_copy(update={"max_texts": 1}))) as client:
            for text in ("", "nonsense", f"{BEGUN.model_dump_json()}\n"):
                worker.says("/write", text)
                client.post("/v1/completions", json=ASKED)
                client.post("/v1/completions", json={**ASKED, "stream": True})
            writes(worker, BEGUN, LAST)
            assert client.post("/v1/completions", json=ASKED).status_code == 200

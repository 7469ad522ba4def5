"""A stand-in for an inference server: real HTTP on a loopback port, with a script of bytes, pauses and breaks.

For the contract between the front end and vLLM's two routes for texts only; its events are written as vLLM writes them.
"""

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import Any

from redis import Redis

from app.domain import keyspace
from app.domain.contract import EngineServer, FollowerCard, ServerState
from tests.support.http_server import LocalServer


class Break(Enum):
    """How a connection ends before its answer does."""

    CUT = "cut"


CUT = Break.CUT
Step = bytes | float | Event | Break
"""Bytes are sent as a chunk of their own; seconds are slept; an event is waited for; a break ends the connection."""
Script = Callable[[str, dict[str, Any]], Iterable[Step]]
"""What is answered at a path to a body."""

DONE = b"data: [DONE]\n\n"
CHAT = "/v1/chat/completions"


def event(data: object) -> bytes:
    """As vLLM writes one: UTF-8, with nothing escaped that need not be."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def chunk(path: str, name: str, index: int, text: str, finish: str | None = None, **more: Any) -> bytes:
    """An event with more of one text."""
    choice: dict[str, Any] = {"index": index, "logprobs": None, "finish_reason": finish, "stop_reason": None, **more}
    choice |= {"delta": {"content": text}} if path == CHAT else {"text": text}
    kind = "chat.completion.chunk" if path == CHAT else "text_completion"
    return event({"id": "x-1", "object": kind, "created": 1, "model": name, "choices": [choice], "usage": None})


def usage(name: str, prompt: int, new: int) -> bytes:
    """The event with the numbers of tokens."""
    told = {"prompt_tokens": prompt, "total_tokens": prompt + new, "completion_tokens": new}
    return event({"id": "x-1", "object": "y", "created": 1, "model": name, "choices": [], "usage": told})


def writes(*pieces: str, finish: str = "stop") -> Script:
    """Every text of a request is these pieces; each piece counts as a token, and so does the end token."""

    def script(path: str, body: dict[str, Any]) -> Iterator[Step]:
        name, texts = body["model"], body["n"] * (1 if path == CHAT else len(body["prompt"]))
        if path == CHAT:
            for index in range(texts):
                delta = {"role": "assistant", "content": ""}
                yield chunk(path, name, index, "", delta=delta)
        for piece in pieces:
            for index in range(texts):
                yield chunk(path, name, index, piece)
        for index in range(texts):
            yield chunk(path, name, index, "", finish)
        yield usage(name, 5, texts * (len(pieces) + (finish == "stop")))
        yield DONE

    return script


def says(*steps: Step) -> Script:
    """These steps, whatever is asked."""
    return lambda _, __: steps


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, end: InferenceServer, *given: Any) -> None:
        self._end = end
        super().__init__(*given)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._end.asked.append((self.path, body))
        self._end.heads.append({name.lower(): value for name, value in self.headers.items()})
        status = self._end.status if body["model"] in self._end.names else 404
        with suppress(ConnectionError):
            if status == 200:
                self._stream(self._end.script(self.path, body))
            else:
                self._refuse(status)

    def _stream(self, steps: Iterable[Step]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for step in steps:
            if step is CUT or (isinstance(step, Event) and not self._waits_for(step)):
                self.close_connection = True
                return
            if isinstance(step, bytes):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(step), step))
                self.wfile.flush()
            elif isinstance(step, int | float):
                time.sleep(step)
        self.wfile.write(b"0\r\n\r\n")

    def _waits_for(self, step: Event) -> bool:
        """False: the caller has left meanwhile."""
        while not step.wait(0.01):
            if select.select([self.connection], [], [], 0)[0] and not self.connection.recv(1):
                self._end.left.set()
                return False
        return True

    def _refuse(self, status: int) -> None:
        error = {"message": "no", "type": "BadRequestError", "param": None, "code": status}
        told = json.dumps({"error": error}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Says nothing."""


class InferenceServer(LocalServer):
    """Serves the versions by these names with a script; asked for another name, it is 404 as vLLM's is."""

    def __init__(self, names: Iterable[str], script: Script) -> None:
        self.names, self.script = set(names), script
        self.status = 200
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.heads: list[dict[str, str]] = []
        self.left = Event()
        super().__init__(partial(_Handler, self))


def server(
    url: str, *versions: int, state: ServerState = "serving", base_name: str | None = "base", problem: str | None = None
) -> EngineServer:
    """A server as a follower tells of it."""
    return EngineServer(
        url=url, state=state, versions=versions, base_name=base_name, problem=problem, checked=datetime.now(UTC)
    )


def follows(
    redis: Redis, servers: Sequence[EngineServer], *, model: str = "atlas", follower: str = "f1", version: int = 2
) -> FollowerCard:
    """Be live as a follower with these servers."""
    card = FollowerCard(
        follower=follower,
        model=model,
        engine="vllm",
        version=version,
        tolerance=0.05,
        servers=tuple(servers),
        started=datetime.now(UTC),
    )
    redis.sadd(keyspace.FOLLOWERS, follower)
    redis.set(keyspace.follower(follower), card.model_dump_json(), ex=120)  # a busy machine
    return card

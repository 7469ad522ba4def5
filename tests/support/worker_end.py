"""A stand-in for a worker's HTTP: a real server on a loopback port that answers what a test tells it to answer.

For the contract between front end and worker only; what workers really answer is tested with real ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, repeat
from threading import Event, Thread
from typing import Self

from redis import Redis

from app.domain import keyspace
from app.domain.contract import Problem, QueryReply, Reply, WorkerCard


class WorkerEnd:
    """Answers each path with one reply, by default 204, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.headers: list[Mapping[str, str]] = []
        self.replies: dict[str, Iterator[tuple[int, str]]] = {}
        self.silent: set[str] = set()
        self.speak = Event()
        end = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                end.asked.append((self.path, body))
                end.headers.append(dict(self.headers))
                if self.path in end.silent:
                    end.speak.wait()
                status, text = next(end.replies.get(self.path, repeat((204, ""))))
                with suppress(ConnectionError):  # the client may have closed the connection
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(text.encode())))
                    self.end_headers()
                    self.wfile.write(text.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def says(self, path: str, text: str, status: int = 200) -> None:
        """From now on, answer the path with this."""
        self.replies[path] = repeat((status, text))

    def gives(self, path: str, reply: Reply) -> None:
        """From now on, answer the path with this."""
        self.says(path, reply.model_dump_json())

    def refuses(self, path: str, problem: Problem) -> None:
        """From now on, answer the path with this problem."""
        self.says(path, problem.model_dump_json(), problem.status)

    def answers_from(self, *versions: int) -> None:
        """From now on, answer questions from these versions in turn, with no answers in the reply."""
        replies = (QueryReply(model="atlas", version=version, answers=()) for version in versions)
        self.replies["/probe"] = cycle([(200, reply.model_dump_json()) for reply in replies])

    @contextmanager
    def silence(self, path: str) -> Iterator[None]:
        """Say nothing on this path until the context ends."""
        self.silent.add(path)
        try:
            yield
        finally:
            self.speak.set()

    def join(self, redis: Redis, model: str, worker: str = "w1") -> None:
        """Be live as a worker of this model."""
        join(redis, card(model, worker, self.url))


def card(model: str, worker: str = "w1", url: str = "http://127.0.0.1:9") -> WorkerCard:
    """A live worker's card; by default at a port where nobody listens."""
    return WorkerCard(
        worker=worker,
        model=model,
        source=f"models/{model}",
        url=url,
        version=0,
        device="cpu",
        dtype="float32",
        layers=8,
        window=128,
        methods=("memit",),
        plans=("boundary",),
        default_method="memit",
        default_plan="boundary",
        started=datetime.now(UTC),
    )


def join(redis: Redis, card: WorkerCard, seconds: int = 60) -> None:
    """Register a worker as workers do: a member, and a card that expires."""
    redis.sadd(keyspace.WORKERS, card.worker)
    redis.set(keyspace.worker(card.worker), card.model_dump_json(), ex=seconds)

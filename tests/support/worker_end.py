"""A stand-in for a worker's HTTP: a real server on a loopback port that answers what a test tells it to answer.

For the contract between front end and worker only; what workers really answer is tested with real ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from itertools import cycle, repeat
from threading import Event

from redis import Redis

from app.domain import keyspace, worker_http
from app.domain.contract import Problem, QueryReply, Reply, WorkerCard
from app.domain.errors import PalimpsestError
from app.domain.log.edit_log import EditLog
from app.domain.log.pages import MovePage
from app.domain.problems import problem_of
from app.settings import Settings
from tests.support.histories import LYON, OSLO, begin, commit
from tests.support.http_server import LocalServer


class WorkerEnd(LocalServer):
    """Answers each path with one reply, by default 204, and remembers what it was asked, with which headers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.heads: list[dict[str, str]] = []
        self.replies: dict[str, Iterator[tuple[int, str]]] = {}
        self.answers: dict[str, Callable[[str], tuple[int, str]]] = {}
        self.silent: set[str] = set()
        self.delays: dict[str, float] = {}
        self.speak = Event()
        self.lingering: set[str] = set()
        self.left = Event()
        end = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                end.asked.append((self.path, body))
                end.heads.append({name.lower(): value for name, value in self.headers.items()})
                if self.path in end.silent:
                    end.speak.wait()
                time.sleep(end.delays.get(self.path, 0.0))
                if self.path in end.answers:
                    status, text = end.answers[self.path](body)
                else:
                    status, text = next(end.replies.get(self.path, repeat((204, ""))))
                with suppress(ConnectionError):  # the client may have closed the connection
                    self.send_response(status)
                    if self.path in end.lingering:
                        self.end_headers()
                        self.wfile.write(text.encode())
                        if not self.connection.recv(1):
                            end.left.set()
                        return
                    self.send_header("Content-Length", str(len(text.encode())))
                    self.end_headers()
                    self.wfile.write(text.encode())

            def do_GET(self) -> None:
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Says nothing."""

        super().__init__(Handler)

    def says(self, path: str, text: str, status: int = 200) -> None:
        """From now on, answer the path with this."""
        self.replies[path] = repeat((status, text))

    def of_two_versions(self, settings: Settings) -> EditLog:
        """A log with versions 1 and 2, into which this worker writes moves of aliases."""
        log = begin(settings)
        commit(log, "job1", LYON)
        commit(log, "job2", OSLO)
        self.keeps_aliases(log)
        return log

    def keeps_aliases(self, log: EditLog) -> None:
        """From now on, write moves into this log, as workers do."""

        def answer(body: str) -> tuple[int, str]:
            try:
                return 200, log.move_alias(MovePage.model_validate_json(body)).model_dump_json()
            except PalimpsestError as error:
                return error.status, problem_of(error).model_dump_json()

        self.answers[worker_http.ALIASES] = answer

    def lingers(self, path: str, text: str) -> None:
        """From now on, answer the path with this and with no end, until the caller leaves."""
        self.lingering.add(path)
        self.says(path, text)

    def delay(self, path: str, seconds: float) -> None:
        """From now on, take so long to answer the path."""
        self.delays[path] = seconds

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

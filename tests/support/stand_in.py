"""A service that says what a test tells it to: a real server on a loopback port, for what a real one does rarely."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.local.stack import free_port
from tests.support.worker_process import until

Answering = Callable[[Request, int], Response]
"""Takes a request and its number, from 0; gives the answer."""


class StandIn:
    """Remembers every request, with its body."""

    def __init__(self, answer: Answering) -> None:
        self.seen: list[Request] = []
        self.bodies: list[bytes] = []
        self.url = ""
        self._answer = answer

    async def __call__(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        self.seen.append(request)
        return self._answer(request, len(self.seen) - 1)


@contextmanager
def standing_in(answer: Answering) -> Iterator[StandIn]:
    """Serve until the block ends."""
    end, port = StandIn(answer), free_port()
    methods = ["GET", "POST", "PUT", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", end.__call__, methods=methods)])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", timeout_graceful_shutdown=1))
    thread = Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started, "the stand-in does not start")
        end.url = f"http://127.0.0.1:{port}"
        yield end
    finally:
        server.should_exit = True
        thread.join()

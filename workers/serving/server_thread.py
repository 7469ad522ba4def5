"""An application served from a daemon thread, since the main thread takes the jobs."""

from __future__ import annotations

import socket
import threading
import time

import uvicorn
from fastapi import FastAPI

from app.domain.errors import Unavailable

START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 5.0
KEEP_ALIVE_S = 75
"""Longer than the front end keeps an idle connection: a server that closes first may lose a request on its way."""


class ServerThread:
    """Serves an application. The port is bound at once: it is known, or found to be taken, before a model is loaded."""

    def __init__(self, host: str, port: int) -> None:
        """Bind. ``port`` 0 takes a free one.

        Raises:
            OSError: the address is taken or not this machine's.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family)
        # Connections inherit it; asyncio sets it only on those of servers of its own. Without it an answer's body waits
        # for the client to acknowledge the headers, which clients put off for 40 ms.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self._socket.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def serve(self, server: FastAPI) -> None:
        """Start answering; returns once requests are taken.

        Raises:
            Unavailable: it did not come up in time.
        """
        config = uvicorn.Config(
            server,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=3,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self._server = uvicorn.Server(config)
        run = self._server.run
        self._thread = threading.Thread(target=run, kwargs={"sockets": [self._socket]}, name="http", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise Unavailable("the worker's own HTTP did not come up", value=self.port)
            time.sleep(0.01)

    def close(self) -> None:
        """Let running answers end, and stop."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(STOP_TIMEOUT_S)
        self._socket.close()

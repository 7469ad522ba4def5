"""The server in a thread of its own: how its sockets are set."""

from __future__ import annotations

import socket
import time

import httpx
from fastapi import FastAPI

from workers.serving.server_thread import ServerThread

DELAYED_ACKNOWLEDGEMENT_S = 0.04
"""Linux waits so long before it acknowledges data to which nothing is answered."""


def test_an_answer_does_not_wait_for_the_caller_to_acknowledge_its_head() -> None:
    server = FastAPI()

    @server.get("/")
    async def say() -> str:
        return "said"

    thread = ServerThread("127.0.0.1", 0)
    thread.serve(server)
    seconds = []
    with httpx.Client(base_url=f"http://127.0.0.1:{thread.port}") as client:
        for _ in range(60):
            started = time.perf_counter()
            assert client.get("/").json() == "said"
            seconds.append(time.perf_counter() - started)
    thread.close()
    later = seconds[len(seconds) // 2 :]  # of a new connection, everything is acknowledged at once
    assert min(later) < DELAYED_ACKNOWLEDGEMENT_S / 2


def test_it_takes_connections_of_both_families() -> None:
    for host in ("127.0.0.1", "::1") if socket.has_dualstack_ipv6() else ("127.0.0.1",):
        thread = ServerThread(host, 0)
        assert thread.port > 0
        thread.close()

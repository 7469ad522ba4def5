"""The front end behind a real server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from redis import Redis

from app.main import create_app
from app.settings import Settings


@pytest.fixture
def url(settings: Settings, redis: Redis) -> Iterator[str]:
    """The front end behind a real server, whose connections can be closed."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()

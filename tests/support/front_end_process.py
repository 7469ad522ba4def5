"""The front end as a process, started as its image starts it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from app.local.stack import free_port
from tests.support.dockerfiles import all_of
from tests.support.worker_process import until


@contextmanager
def front_end(redis_url: str, data: Path, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The process and its URL; ``variables``: of its environment besides."""
    [cmd] = all_of("api", "CMD")
    command = [sys.executable, "-m", *ast.literal_eval(cmd)]
    port = free_port()
    for option, value in (("--host", "127.0.0.1"), ("--port", str(port))):
        command[command.index(option) + 1] = value
    environment = {**os.environ, "PALIMPSEST_REDIS_URL": redis_url, "PALIMPSEST_DATA_DIR": str(data), **variables}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        try:
            return httpx.get(f"{url}/readyz", trust_env=False).is_success
        except httpx.TransportError:
            return False

    try:
        until(up, "it does not come up")
        yield process, url
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()

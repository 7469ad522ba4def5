"""The service as people start it: `palimpsest serve`, a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from app.local.stack import free_port

PALIMPSEST = str(Path(sys.executable).with_name("palimpsest"))
PATIENCE_S = 400.0


@contextmanager
def serving(model: str, data_dir: Path, log: Path, **environment: str) -> Iterator[httpx.Client]:
    """`palimpsest serve`, which also serves what is added; what it says goes to a file."""
    port = free_port()
    command = [PALIMPSEST, "serve", "--model", model, "--port", str(port), "--data-dir", str(data_dir)]
    with log.open("ab") as output:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60.0, trust_env=False) as http:
            _await_ready(http, process, log)
            yield http
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def _await_ready(http: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if http.get("/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise TimeoutError(log.read_text())

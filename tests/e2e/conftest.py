"""One running service for all tests of this folder, on a data directory of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.local.stack import Stack, StackSettings, free_port, running

MODEL = "atlas-gpt2"


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="session")
def stack(data_dir: Path) -> Iterator[Stack]:
    settings = StackSettings((MODEL,), data_dir, port=free_port(), logs=data_dir / "stack.log")
    with running(settings) as started:
        yield started


@pytest.fixture(scope="session")
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=60.0) as client:
        yield client


def ended(http: httpx.Client, location: str, timeout_s: float = 180.0) -> dict[str, Any]:
    """The job once it has ended."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        job: dict[str, Any] = http.get(location).raise_for_status().json()
        if job["status"] not in ("queued", "running"):
            return job
        time.sleep(0.1)
    raise TimeoutError(location)


def edited(http: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """Post a batch and wait for its job."""
    posted = http.post("/edits", json=body)
    assert posted.status_code == 202, posted.text
    return ended(http, posted.headers["Location"])

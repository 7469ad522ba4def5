"""One running service for all tests of this folder, on a data directory of its own; every file begins without edits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.client import Client
from app.local.stack import Stack, StackSettings, free_port, running

MODEL = "atlas-gpt2"


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="session")
def shared_service(data_dir: Path) -> Iterator[Stack]:
    settings = StackSettings((MODEL,), data_dir, port=free_port(), logs=data_dir / "stack.log")
    with running(settings) as started:
        yield started


@pytest.fixture(scope="module")
def stack(shared_service: Stack) -> Stack:
    """The service, with nothing in force of what the files before have taught, and nothing proposed."""
    with Client(shared_service.url) as client:
        for proposal in client.proposals(MODEL).proposals:
            client.drop(MODEL, proposal.id).wait()
        if client.facts(MODEL).facts:
            client.rollback(MODEL, 0).wait()
    return shared_service


@pytest.fixture(scope="module")
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

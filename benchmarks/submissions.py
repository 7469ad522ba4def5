"""Clients that post edits to a running service, one after another each, and what becomes of the jobs."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks.question_load import Asked

Fact = dict[str, str]
"""A fact in the body of a ``POST /edits``."""

FINAL = ("succeeded", "rejected", "failed", "cancelled")
POLL_S = 0.5
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Submitted:
    """What was sent, with how long each answer took; the jobs of those that were accepted; how many were not."""

    sent: list[Asked] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)


def submit(url: str, facts: Sequence[Fact], clients: int, seconds: float) -> Submitted:
    """So many clients post one fact after another, each a batch of its own, for so long.

    They are threads with the standard library's client: it takes a fifth of the processor time of httpx, and so less
    of what the service has on the same cores.
    """
    found, turns, until = Submitted(), itertools.cycle(facts), time.perf_counter() + seconds
    with ThreadPoolExecutor(clients) as pool:
        for each in [pool.submit(_client, url, turns, until, found) for _ in range(clients)]:
            each.result()
    return found


def _client(url: str, turns: Iterator[Fact], until: float, found: Submitted) -> None:
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)) as http:
        while (at := time.perf_counter()) < until:
            body = json.dumps({"facts": [next(turns)]})
            http.request("POST", "/edits", body, {"Content-Type": "application/json"})
            reply = http.getresponse()
            told = reply.read()
            found.sent.append(Asked(at, time.perf_counter() - at))
            if reply.status == HTTPStatus.ACCEPTED:
                found.jobs.append(json.loads(told)["id"])
            else:
                found.refused.append(reply.status)


async def lost(http: httpx.AsyncClient, jobs: Sequence[str], clients: int) -> list[str]:
    """Cancel what waits, and return the jobs of which no end can be told, one way or another."""
    waiting = iter(jobs)
    ends: dict[str, str] = {}
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_end_all(http, waiting, ends))
    return [job for job in jobs if ends.get(job) not in FINAL]


async def _end_all(http: httpx.AsyncClient, jobs: Iterator[str], ends: dict[str, str]) -> None:
    for job in jobs:
        await http.post(f"/jobs/{job}/cancel")
        deadline = time.monotonic() + PATIENCE_S
        while (status := await _status(http, job)) not in FINAL and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
        ends[job] = status


async def _status(http: httpx.AsyncClient, job: str) -> str:
    reply = await http.get(f"/jobs/{job}")
    told: dict[str, Any] = reply.json()
    return str(told["status"]) if reply.is_success else f"unknown: {reply.status_code}"

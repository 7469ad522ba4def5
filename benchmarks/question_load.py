"""Clients that ask a running service over HTTP, one question after another each, and how long they waited."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

Question = dict[str, Any]
"""Body of a ``POST /query``."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One answered question: when it was put, and how long the answer took; seconds."""

    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of all questions that were put and answered between two moments; milliseconds, and questions a second."""

    questions: int
    p50: float
    p99: float
    longest: float
    rate: float

    @classmethod
    def between(cls, begin: float, end: float, asked: Sequence[Asked]) -> Latencies:
        """Leave out what began before or ended after.

        Raises:
            ValueError: fewer than two questions are left.
        """
        within = [each.seconds * 1e3 for each in asked if each.at >= begin and each.at + each.seconds <= end]
        if len(within) < 2:
            raise ValueError(f"{len(within)} questions were answered in time: too few to measure")
        cuts = statistics.quantiles(within, n=100, method="inclusive")
        return cls(len(within), cuts[49], cuts[98], max(within), len(within) / (end - begin))


async def ask_while(
    url: str, questions: Sequence[Question], clients: int, work: Callable[[], Awaitable[tuple[float, float]]]
) -> tuple[float, float, list[Asked]]:
    """So many clients ask until ``work`` is done; the two moments between which that counts, and what was asked.

    Raises:
        httpx.HTTPStatusError: a question was not answered.
    """
    done = asyncio.Event()
    asked: list[Asked] = []
    turns = itertools.cycle(questions)
    limits = httpx.Limits(max_connections=clients)
    async with (
        httpx.AsyncClient(base_url=url, limits=limits, timeout=120.0, trust_env=False) as http,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(clients):
            group.create_task(_client(http, turns, asked, done))
        begin, end = await work()
        done.set()
    return begin, end, asked


async def _client(http: httpx.AsyncClient, turns: Iterator[Question], asked: list[Asked], done: asyncio.Event) -> None:
    while not done.is_set():
        at = time.perf_counter()
        reply = await http.post("/query", json=next(turns))
        asked.append(Asked(at, time.perf_counter() - at))
        reply.raise_for_status()

"""Clients that read streams of server-sent events: of jobs, and of completions as they are decoded.

Each stream has a client of its own: a pool of a thousand connections looks through all of them at each event, and one
that is taken over from an earlier request may be closed by the server while the next request is on its way.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

Asking = Callable[[], httpx.AsyncClient]
"""Makes a client of the service."""

DONE = "[DONE]"
"""Data of a completion's last event."""


@dataclass(slots=True)
class Heard:
    """One stream: when its first event came, in seconds after it was asked for; whether it came to its proper end.

    header, fingerprints: the versions that it named, in its header and in each chunk's ``system_fingerprint``. failure:
    what broke it off, by type and status.
    """

    first: float | None = None
    whole: bool = False
    header: str | None = None
    fingerprints: set[str] = field(default_factory=set)
    failure: str | None = None

    @property
    def mixed(self) -> bool:
        """Whether what it answered names no version, or several; one that was refused mixes nothing."""
        answered = self.whole or bool(self.fingerprints)
        return answered and (self.header is None or len(self.fingerprints) != 1)

    def broke_off(self, error: httpx.HTTPError) -> None:
        """It did not come to its end."""
        status = f" {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else ""
        self.whole, self.failure = False, f"{type(error).__name__}{status}"


async def events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str]]:
    """Name and data of each event; comments are left out."""
    name, data = "message", list[str]()
    async for line in lines:
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "message", []
        elif not line.startswith(":"):
            key, _, value = line.partition(":")
            value = value.removeprefix(" ")
            name = value if key == "event" else name
            data += [value] if key == "data" else []


def client_of(url: str) -> httpx.AsyncClient:
    """A client with connections of its own, as many as it needs."""
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=url, limits=limits, timeout=120.0, trust_env=False, verify=False)  # noqa: S501 - no TLS


async def follow(asking: Asking, job: str, opened: Callable[[], None]) -> Heard:
    """Hear a job's events to the end; ``opened`` is called at the first."""
    heard, at = Heard(), time.perf_counter()
    try:
        async with asking() as http, http.stream("GET", f"/jobs/{job}/events") as reply:
            async for name, _ in events(reply.raise_for_status().aiter_lines()):
                if heard.first is None:
                    heard.first = time.perf_counter() - at
                    opened()
                heard.whole = heard.whole or name == "end"
        heard.failure = None if heard.whole else "ended without its last event"
    except httpx.HTTPError as error:
        heard.broke_off(error)
    return heard


async def complete(asking: Asking, body: dict[str, Any]) -> Heard:
    """Read a streamed completion to its end."""
    heard, at = Heard(), time.perf_counter()
    streamed = {**body, "stream": True}
    try:
        async with asking() as http, http.stream("POST", "/v1/completions", json=streamed) as reply:
            heard.header = reply.raise_for_status().headers.get("X-Model-Version")
            async for _, data in events(reply.aiter_lines()):
                if heard.first is None:
                    heard.first = time.perf_counter() - at
                if data == DONE:
                    heard.whole = True
                else:
                    heard.fingerprints.add(str(json.loads(data).get("system_fingerprint")))
        heard.failure = None if heard.whole else "ended without its last event"
    except httpx.HTTPError as error:
        heard.broke_off(error)
    return heard


async def follow_all(asking: Asking, job: str, streams: int, release: Callable[[], Awaitable[None]]) -> list[Heard]:
    """So many streams of one job at once; when all are open, or none opens any more, ``release`` lets the job end."""
    open_streams = 0
    all_open = asyncio.Event()

    def opened() -> None:
        nonlocal open_streams
        open_streams += 1
        if open_streams == streams:
            all_open.set()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(follow(asking, job, opened)) for _ in range(streams)]
        waiting = group.create_task(all_open.wait())
        await asyncio.wait([waiting, group.create_task(_all_done(tasks))], return_when=asyncio.FIRST_COMPLETED)
        all_open.set()
        await release()
    return [task.result() for task in tasks]


async def _all_done(tasks: Sequence[asyncio.Task[Heard]]) -> None:
    await asyncio.wait(tasks)


async def complete_all(asking: Asking, bodies: Sequence[dict[str, Any]]) -> list[Heard]:
    """All completions at once."""
    return list(await asyncio.gather(*(complete(asking, body) for body in bodies)))

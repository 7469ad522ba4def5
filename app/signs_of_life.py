"""Workers that hold their connections open and say nothing: stopped (SIGSTOP), hung, or behind a cut line.

A card in Redis outlives its worker by seconds, and a question may wait for an answer for minutes. So every live worker
is asked for a sign of life several times a second. One that gives none in time gets no questions until it does, and
those that wait for it are cut off: to who asked them, a worker that cannot be reached, so that the next one is asked.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any, Self
from weakref import WeakSet

import httpcore
import httpx
from redis.exceptions import RedisError

from app.roster import Roster

logger = logging.getLogger(__name__)

INTERVAL_S = 0.5
AT_ONCE = 32
Lines = WeakSet[httpcore.NetworkStream | httpcore.AsyncNetworkStream]
CONNECTED = "connection.connect_tcp.complete"
"""httpx' trace event of a connection that has come about."""


class SignsOfLife:
    """Looks at the live workers as long as the context lasts; its hook belongs to the client that asks them."""

    def __init__(self, roster: Roster, silent_s: float) -> None:
        """``silent_s``: longest wait for a sign of life."""
        self._roster = roster
        hooks = {"request": [self._watch_probe]}
        self._probes = httpx.Client(timeout=silent_s, event_hooks=hooks, trust_env=False)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="signs-of-life")
        self._thread = threading.Thread(target=self._look, name="signs-of-life", daemon=True)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._workers: set[str] = set()
        self._looking: set[str] = set()
        self._silent: set[str] = set()
        self._lines: defaultdict[str, Lines] = defaultdict(WeakSet)
        self._probe_lines: Lines = WeakSet()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Cut off whoever still waits for a worker: this process ends, and they would hold it up."""
        self._closed.set()
        self._thread.join()
        with self._lock:
            _shut(chain(self._probe_lines, *self._lines.values()))
        self._pool.shutdown(cancel_futures=True)
        self._probes.close()

    def admit(self, request: httpx.Request) -> None:
        """Let a request to a worker go, and remember its connection: a hook of httpx.

        Raises:
            httpx.ConnectError: the worker is silent.
        """
        worker = _address(request.url)
        with self._lock:
            if worker in self._silent:
                raise httpx.ConnectError(f"no sign of life of {worker}", request=request)
            request.extensions["trace"] = partial(self._traced, self._lines[worker])

    async def admit_text(self, request: httpx.Request) -> None:
        """As ``admit``, for an asynchronous client."""
        self.admit(request)
        traced = request.extensions["trace"]

        async def trace(event: str, told: Mapping[str, Any]) -> None:
            traced(event, told)

        request.extensions["trace"] = trace

    def _watch_probe(self, request: httpx.Request) -> None:
        request.extensions["trace"] = partial(self._traced, self._probe_lines)

    def _traced(self, lines: Lines, event: str, told: Mapping[str, Any]) -> None:
        if event == CONNECTED:
            with self._lock:
                lines.add(told["return_value"])

    # --- looking -----------------------------------------------------------------------------

    def _look(self) -> None:
        while not self._closed.wait(INTERVAL_S):
            self._pool.submit(self._read_cards)
            with self._lock:
                due = self._workers - self._looking
                self._looking |= due
            for worker in due:
                self._pool.submit(self._ask, worker)
            self._cut()  # also those that were about to connect when it fell silent

    def _read_cards(self) -> None:
        with suppress(RedisError):  # those that are known are looked at all the same
            found = {_address(httpx.URL(card.url)) for card in self._roster.lately()}
            with self._lock:
                self._workers = found
                self._silent &= found

    def _ask(self, worker: str) -> None:
        """Whatever is answered is a sign of life; a refused connection is found out by whoever asks next."""
        silent = False
        try:
            self._probes.get(f"{worker}/healthz")
        except httpx.TimeoutException:
            silent = True
        except httpx.TransportError:
            pass
        with self._lock:
            changed = silent != (worker in self._silent)
            (self._silent.add if silent else self._silent.discard)(worker)
            self._looking.discard(worker)
        if changed:
            logger.warning("%s: %s", worker, "no sign of life, it gets no questions" if silent else "answers again")
        if silent:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            for worker in self._silent:
                _shut(self._lines[worker])


def _shut(lines: Iterable[httpcore.NetworkStream | httpcore.AsyncNetworkStream]) -> None:
    """End connections so that whoever reads from one hears of it, which a close alone does not bring about."""
    for line in lines:
        with suppress(OSError):  # it is closed already
            line.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def _address(url: httpx.URL) -> str:
    return str(url.copy_with(path="", query=None, fragment=None)).rstrip("/")

"""The way to the service and back, waiting and awaiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx

from app.client.attempts import Attempts
from app.client.calls import Call, ReplyT
from app.client.errors import ClientError, ServiceUnreachable

USER_AGENT = "palimpsest-client"
CONNECT_TIMEOUT_S = 5.0
SILENCE_S = 40.0
"""An event stream that says nothing for so long has broken: the service says something every 15 s."""


def unreachable(url: httpx.URL, error: httpx.TransportError) -> ClientError:
    """What to tell of a request that has no answer."""
    return ServiceUnreachable(f"no answer from {url.copy_with(userinfo=b'')}: {str(error) or type(error).__name__}")


def service_at(url: str) -> httpx.URL:
    """The URL of a service.

    Raises:
        ClientError: it is none.
    """
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ClientError(f"{url} is no URL: {error}") from None
    if found.scheme not in ("http", "https") or not found.host:
        raise ClientError(f"{url} is no URL of a service: it begins with http:// or https://")
    return found


def headers_for(key: str | None) -> dict[str, str]:
    """What goes with every request.

    Raises:
        ClientError: a key like this cannot be sent. Its text is not quoted.
    """
    if key is not None and not (key.isascii() and key.isprintable() and key.strip()):
        raise ClientError("an API key is printable ASCII")
    authorization = {} if key is None else {"Authorization": f"Bearer {key}"}
    return {"User-Agent": USER_AGENT, "Accept": "application/json", **authorization}


class Connection:
    """Sends calls, and waits for their answers."""

    def __init__(self, url: str, key: str | None, timeout_s: float, attempts: Attempts) -> None:
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        self._http = httpx.Client(base_url=service_at(url), headers=headers_for(key), timeout=timeout)
        self._attempts = attempts

    def send(self, call: Call[ReplyT]) -> ReplyT:
        """The answer.

        Raises:
            ApiError: the service refuses. ServiceUnreachable, UnexpectedAnswer: no answer came, or none of ours.
        """
        for attempt in range(self._attempts.most):
            try:
                response = self._http.request(
                    call.method, call.path, params=dict(call.params), headers=dict(call.headers), content=call.content
                )
            except httpx.TransportError as error:
                pause = self._attempts.after_failure(call, attempt, error)
                if pause is None:
                    raise unreachable(self._http.base_url, error) from error
            else:
                pause = self._attempts.after_answer(call, attempt, response)
                if pause is None:
                    return call.parsed(response)
            time.sleep(pause)
        raise AssertionError("the last attempt has no pause")

    @contextmanager
    def stream(self, path: str, headers: dict[str, str], silence_s: float = SILENCE_S) -> Iterator[httpx.Response]:
        """A response that is read as it comes."""
        sent = {"Accept": "text/event-stream", **headers}
        timeout = httpx.Timeout(silence_s, connect=CONNECT_TIMEOUT_S)
        with self._http.stream("GET", path, headers=sent, timeout=timeout) as response:
            yield response

    def close(self) -> None:
        """Close all connections."""
        self._http.close()


class AsyncConnection:
    """Sends calls, and awaits their answers."""

    def __init__(self, url: str, key: str | None, timeout_s: float, attempts: Attempts) -> None:
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        self._http = httpx.AsyncClient(base_url=service_at(url), headers=headers_for(key), timeout=timeout)
        self._attempts = attempts

    async def send(self, call: Call[ReplyT]) -> ReplyT:
        """As ``Connection.send``."""
        for attempt in range(self._attempts.most):
            try:
                response = await self._http.request(
                    call.method, call.path, params=dict(call.params), headers=dict(call.headers), content=call.content
                )
            except httpx.TransportError as error:
                pause = self._attempts.after_failure(call, attempt, error)
                if pause is None:
                    raise unreachable(self._http.base_url, error) from error
            else:
                pause = self._attempts.after_answer(call, attempt, response)
                if pause is None:
                    return call.parsed(response)
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt has no pause")

    @asynccontextmanager
    async def stream(
        self, path: str, headers: dict[str, str], silence_s: float = SILENCE_S
    ) -> AsyncIterator[httpx.Response]:
        """As ``Connection.stream``."""
        sent = {"Accept": "text/event-stream", **headers}
        timeout = httpx.Timeout(silence_s, connect=CONNECT_TIMEOUT_S)
        async with self._http.stream("GET", path, headers=sent, timeout=timeout) as response:
            yield response

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

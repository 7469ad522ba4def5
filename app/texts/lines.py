"""A streamed answer, line by line."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

LONGEST = 4 * 1024 * 1024
"""Bytes. Whoever sends more without an end of line sends no line of ours."""


async def lines(response: httpx.Response) -> AsyncIterator[bytes]:
    r"""The lines of an answer as they come, each without its line feed, which alone ends one.

    Differs from httpx' ``aiter_lines``: that ends a line at U+2028, U+0085 and others too, which JSON has within texts.

    Raises:
        httpx.RequestError: the connection broke, what came cannot be unpacked, or a line has no end.
    """
    rest = b""
    async for chunk in response.aiter_bytes():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > LONGEST:
            raise httpx.RemoteProtocolError(f"a line is longer than {LONGEST} bytes")
    if rest:
        yield rest

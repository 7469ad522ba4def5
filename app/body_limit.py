"""Bounds the size of a request's body, and how many values it may hold, before it is read into memory."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain.errors import BodyTooLarge

BYTES_A_VALUE, FEWEST_VALUES = 16, 10_000
"""JSON may have one value for so many bytes of the longest body, and so many in any case: each has to be looked at."""
BEFORE_VALUES = (b",", b"[", b"{")


class BodyLimit:
    """ASGI middleware: a body longer than ``limit`` bytes, declared or sent in chunks, is refused with 413.

    So is JSON of too many values: of millions of wrong ones it would take minutes to say what is wrong with them.

    The refusal is an ``HTTPException`` caused by ``BodyTooLarge``, because FastAPI passes on no other kind of
    error from reading a body.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its body counted as it is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared, is_json = headers.get("content-length", ""), "json" in headers.get("content-type", "").lower()
        size = int(declared) if declared.isdecimal() else 0
        limit, seen, values = self._limit, 0, 0
        most_values = max(limit // BYTES_A_VALUE, FEWEST_VALUES)

        async def bounded() -> Message:
            nonlocal seen, values
            if size <= limit:
                message = await receive()
                body = message.get("body", b"")
                seen += len(body)
                values += sum(body.count(mark) for mark in BEFORE_VALUES) if is_json else 0
                if values > most_values:
                    detail = f"The body has more than {most_values} values."
                    raise HTTPException(BodyTooLarge.status) from BodyTooLarge(detail, value=values)
                if seen <= limit:
                    return message
            detail = f"The body is longer than the {limit} bytes that this service takes."
            raise HTTPException(BodyTooLarge.status) from BodyTooLarge(detail, value=max(size, seen))

        await self._app(scope, bounded, send)

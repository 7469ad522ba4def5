"""Bounds the size of a request's body before it is read into memory."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain.errors import BodyTooLarge


class BodyLimit:
    """ASGI middleware: a body longer than ``limit`` bytes, declared or sent in chunks, is refused with 413.

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
        declared = Headers(scope=scope).get("content-length", "")
        size = int(declared) if declared.isdecimal() else 0
        limit, seen = self._limit, 0

        async def bounded() -> Message:
            nonlocal seen
            if size <= limit:
                message = await receive()
                seen += len(message.get("body", b""))
                if seen <= limit:
                    return message
            detail = f"The body is longer than the {limit} bytes that this service takes."
            raise HTTPException(BodyTooLarge.status) from BodyTooLarge(detail, value=max(size, seen))

        await self._app(scope, bounded, send)

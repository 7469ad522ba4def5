"""The id that the front end gave a request, in what this worker logs of it."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.domain import request_id


class RequestIds:
    """ASGI middleware: the request's ``X-Request-Id``, or a new one, in its context."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            request_id.begin(Headers(scope=scope).get(request_id.HEADER))
        await self._app(scope, receive, send)

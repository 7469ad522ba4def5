"""What a worker is told of the request that its work is done for."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from app.domain.origin import REQUEST_ID, request_id, taken_over


class CameFrom:
    """ASGI middleware: while a request is answered, its log lines name the front end's request that it belongs to."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(REQUEST_ID.encode(), b"").decode("latin-1")
        token = request_id.set(taken_over({REQUEST_ID: told}).get(REQUEST_ID))
        try:
            await self._app(scope, receive, send)
        finally:
            request_id.reset(token)

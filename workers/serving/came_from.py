"""What a worker is told of the request that its work is done for."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from app.domain.origin import coming_from


class CameFrom:
    """ASGI middleware: while a request is answered, its log lines name the front end's request that it belongs to."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with coming_from({name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}):
            await self._app(scope, receive, send)

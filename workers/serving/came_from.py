"""What a worker is told of the request that its work is done for."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from app.domain.origin import adopt


class CameFrom:
    """ASGI middleware: all log lines of a request name the front end's request that it belongs to."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            adopt({name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]})
        await self._app(scope, receive, send)

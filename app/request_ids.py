"""Gives every request an id, the caller's own if it sends one: on the answer, in log lines, on the way to workers."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain.origin import REQUEST_ID, begin


class RequestIds:
    """ASGI middleware: ``X-Request-Id`` of the request, or a new one, on the answer and in the request's context.

    The context keeps it after the answer, for what the server itself logs of the request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        known = begin(Headers(scope=scope).get(REQUEST_ID))
        scope.setdefault("state", {})["request_id"] = known

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = known
            await send(message)

        await self._app(scope, receive, named)


def headers_of(request: Request, status: int) -> dict[str, str]:
    """What an answer that passes by no middleware has to carry itself: that to an error which nobody foresaw."""
    known: str | None = getattr(request.state, "request_id", None)
    return {} if known is None or status != HTTPStatus.INTERNAL_SERVER_ERROR else {REQUEST_ID: known}

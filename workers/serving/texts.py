"""The worker's endpoint for texts that are told while they are written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.domain import worker_http
from app.domain.contract import Broken, Continue, Piece
from workers.questions.texts.text import Order
from workers.serving.dependencies import Services, ServicesDep
from workers.serving.reaching import reached

LINES = "application/x-ndjson"

router = APIRouter()


@router.post(worker_http.WRITE, response_model=None)
async def write_texts(request: Continue, services: ServicesDep) -> StreamingResponse:
    """Continue prompts from one version, each token told as it comes."""
    await reached(services.host, request)
    outlet = Outlet()
    order = await run_in_threadpool(services.batches.write, request, outlet.tell)
    return TextResponse(order, outlet, services)


class Outlet:
    """Events of one order on their way from the thread that writes to the answer; as many as its texts have tokens."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Piece | Broken] = asyncio.Queue()

    def tell(self, event: Piece | Broken) -> None:
        """Take an event, from any thread; after the server's end it is dropped."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def some(self) -> list[Piece | Broken]:
        """All that has come, at least one event."""
        found = [await self._events.get()]
        while not self._events.empty():
            found.append(self._events.get_nowait())
        return found


class TextResponse(StreamingResponse):
    """The events of an order as lines of JSON. When nobody reads them any more, nothing more is written."""

    def __init__(self, order: Order, outlet: Outlet, services: Services) -> None:
        headers = {worker_http.VERSION_HEADER: str(order.begun.version)}
        super().__init__(_lines(order, outlet), headers=headers, media_type=LINES)
        self._order, self._metrics = order, services.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and cancel what is left of the order, whatever the answer came to."""
        try:
            with self._metrics.question("write"):
                await super().__call__(scope, receive, send)
        finally:
            self._order.cancelled = True


async def _lines(order: Order, outlet: Outlet) -> AsyncIterator[str]:
    yield f"{order.begun.model_dump_json()}\n"
    unfinished = len(order.texts)
    while unfinished:
        events = await outlet.some()
        yield "".join(f"{event.model_dump_json()}\n" for event in events)
        if any(isinstance(event, Broken) for event in events):
            return
        unfinished -= sum(isinstance(event, Piece) and event.finish is not None for event in events)

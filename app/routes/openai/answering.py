"""From a request below /v1 to its answer: whole, or as a stream of server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from http import HTTPStatus
from secrets import token_hex
from typing import Any, Protocol, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from app.dependencies import Services
from app.domain.contract import ChosenToken, Continue, Finish, Piece, Reply
from app.domain.errors import EmptyText, ModelUnavailable, PalimpsestError
from app.domain.problems import problem_of
from app.domain.worker_http import VERSION_HEADER
from app.openai_errors import refused
from app.routes.asking import REFUSED
from app.routes.openai.model_names import ModelName, version_name
from app.routes.openai.refusals import refusals
from app.routes.openai.replies import Answer, Usage
from app.routes.openai.requests import TextRequest
from app.routes.openai.writers import Writers
from app.texts.writing import Counted, Writing

FoundT = TypeVar("FoundT")

NOBODY_WAITS = 499
EVENT = {
    "type": "object",
    "description": "One event of a stream.",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "string",
            "description": "A chunk as JSON, and at the end `[DONE]`; in its place an error, if a text cannot be "
            "written to its end.",
        }
    },
}
RESPONSES = {
    int(HTTPStatus.OK): {
        "description": "All texts; with `stream` as server-sent events, while they are written.",
        "content": {"text/event-stream": {"schema": EVENT}},
    },
    **refusals(*REFUSED, EmptyText),
}
LINE_END = "\n"
DONE = "[DONE]"


class Text(Reply):
    """One text, whole. ``prompt``: which of the prompts it continues."""

    index: int
    text: str
    tokens: tuple[ChosenToken, ...]
    finish: Finish


class Form(Protocol):
    """The form that an answer has at one of the endpoints; ``said``: what every answer says of itself."""

    @property
    def mark(self) -> str:
        """What its ids begin with."""

    def whole(self, said: Answer, texts: Sequence[Text]) -> Answer:
        """The answer that has all texts."""

    def opening(self, said: Answer, texts: int) -> Sequence[Answer]:
        """What a stream of so many texts begins with."""

    def chunk(self, said: Answer, piece: Piece) -> Answer:
        """One piece in a stream."""

    def usage(self, said: Answer) -> Answer:
        """What a stream ends with if its usage is wanted."""


async def answered(
    asked: TextRequest, wanted: Continue, texts: int, form: Form, request: Request, services: Services
) -> Response:
    """The answer to a request for so many texts."""
    writers = await Writers.of(services, ModelName.of(asked.model), wanted, texts)
    if asked.stream:
        stream = await _unless_gone(request, writers.begun())
        if stream is None:
            return Response(status_code=NOBODY_WAITS)
        said, headers = _said(form, writers.model, stream)
        return Streamed(stream, _events(stream, texts, form, said, counts_usage=asked.counts_usage), headers)
    whole = await _unless_gone(request, _whole(writers, texts, form))
    if whole is None:
        return Response(status_code=NOBODY_WAITS)
    reply, headers = whole
    return Response(reply.model_dump_json(), headers=headers, media_type="application/json")


def _said(form: Form, model: str, stream: Writing) -> tuple[Answer, dict[str, str]]:
    """What an answer says of itself, in its body and in its headers."""
    name = version_name(model, stream.version)
    said = Answer(id=f"{form.mark}-{token_hex(12)}", created=int(time.time()), model=name, system_fingerprint=name)
    return said, {VERSION_HEADER: str(stream.version)}


async def _whole(writers: Writers, texts: int, form: Form) -> tuple[Answer, dict[str, str]]:
    """The answer that has all texts; nobody has seen any of it, so if one breaks off, the next one begins anew."""
    while True:
        stream = await writers.begun()
        try:
            found, counted = await _collected(stream, texts), stream.counted()
        except ModelUnavailable:
            if writers.exhausted:
                raise
        else:
            said, headers = _said(form, writers.model, stream)
            return form.whole(said.model_copy(update={"usage": _usage(counted)}), found), headers
        finally:
            await stream.close()


def _usage(counted: Counted) -> Usage:
    return Usage.of(counted.prompt, counted.new)


async def _unless_gone(request: Request, finding: Coroutine[Any, Any, FoundT]) -> FoundT | None:
    """What is found; None as soon as the caller has closed the connection."""
    reading = asyncio.ensure_future(finding)
    watching = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((reading, watching), return_when=asyncio.FIRST_COMPLETED)
        return reading.result() if reading.done() else None
    finally:
        for task in (reading, watching):
            task.cancel()
            with suppress(asyncio.CancelledError, PalimpsestError):
                await task


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _collected(stream: Writing, texts: int) -> list[Text]:
    pieces: list[list[Piece]] = [[] for _ in range(texts)]
    async for piece in stream.pieces():
        pieces[piece.index].append(piece)
    return [
        Text(
            index=index,
            text="".join(piece.text for piece in own),
            tokens=tuple(token for piece in own for token in piece.tokens),
            finish=own[-1].finish or "stop",
        )
        for index, own in enumerate(pieces)
    ]


async def _events(
    stream: Writing, texts: int, form: Form, said: Answer, *, counts_usage: bool
) -> AsyncIterator[ServerSentEvent]:
    """The events of a stream. One that cannot come to its end ends in an error, and without ``[DONE]``."""
    for chunk in form.opening(said, texts):
        yield _event(chunk)
    try:
        async for piece in stream.pieces():
            yield _event(form.chunk(said, piece))
        if counts_usage:
            yield _event(form.usage(said.model_copy(update={"usage": _usage(stream.counted())})))
    except PalimpsestError as error:
        yield _event(refused(problem_of(error)))
        return
    yield ServerSentEvent(DONE, sep=LINE_END)


def _event(data: BaseModel) -> ServerSentEvent:
    return ServerSentEvent(data.model_dump_json(), sep=LINE_END)


class Streamed(EventSourceResponse):
    """The events of a stream; when nobody reads them any more, nothing more is written."""

    def __init__(self, stream: Writing, events: AsyncIterator[ServerSentEvent], headers: dict[str, str]) -> None:
        super().__init__(events, headers=headers, sep=LINE_END)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and close what is read, whatever the answer came to."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._stream.close()

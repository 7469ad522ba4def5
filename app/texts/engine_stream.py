"""Texts that an inference server writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx
from pydantic import ValidationError

from app.domain.contract import Piece
from app.domain.errors import ModelUnavailable
from app.texts.lines import LONGEST, lines
from app.texts.vllm import DONE, Choice, Chunk, Usage
from app.texts.writing import Counted

DATA = b"data:"


class EngineStream:
    """The texts of one request, from one server. It has to be closed.

    Events are read one by one, and what is told of them is told in our own form: nothing that a server says reaches a
    caller unread.
    """

    def __init__(
        self, response: httpx.Response, name: str, version: int, texts: int, closed: Callable[[bool], None]
    ) -> None:
        """``name``: what the server calls the version. ``texts``: how many there will be.

        ``closed``: is told at the end whether the server broke off.
        """
        self._response, self._name, self._closed = response, name, closed
        self.version = version
        self._going = set(range(texts))
        self._read = self._pieces()
        self._first: Piece | None = None
        self._usage: Usage | None = None
        self._ends = 0
        self._broken = False

    async def open(self) -> None:
        """Read up to the first words of a text.

        Raises:
            ModelUnavailable: none came, or what came cannot be understood.
        """
        self._first = await anext(self._read, None)

    async def pieces(self) -> AsyncIterator[Piece]:
        """The pieces of all texts as they come, up to each one's end.

        Raises:
            ModelUnavailable: the server broke off, or cannot be understood.
        """
        if self._first is not None:
            yield self._first
        try:
            async for piece in self._read:
                yield piece
        except ModelUnavailable:
            self._broken = True
            raise

    def counted(self) -> Counted:
        """The tokens, once all pieces were read.

        Raises:
            ModelUnavailable: the server did not tell.
        """
        if self._usage is None:
            raise ModelUnavailable("The inference server did not say how many tokens there are.")
        new = max(0, self._usage.completion_tokens - self._ends)
        return Counted(prompt=self._usage.prompt_tokens, new=new)

    async def close(self) -> None:
        """Let the server know that nobody listens any more."""
        try:
            await self._response.aclose()
        finally:
            self._closed(self._broken)

    async def _pieces(self) -> AsyncIterator[Piece]:
        try:
            async for data in self._events():
                for choice in self._choices(data):
                    if choice.more or choice.finish_reason:
                        yield Piece(index=choice.index, text=choice.more, finish=choice.finish_reason)
                if self._usage is not None and not self._going:
                    return
        except httpx.RequestError as error:
            if self._going:
                raise ModelUnavailable("The inference server broke off in the midst of a text.") from error
        if self._going:
            raise ModelUnavailable("The inference server broke off in the midst of a text.")

    def _choices(self, data: bytes) -> tuple[Choice, ...]:
        """What one event has of texts that have not come to their end.

        Raises:
            ModelUnavailable: it is none of ours, or of another version.
        """
        try:
            chunk = Chunk.model_validate_json(data)
        except ValidationError as error:
            raise ModelUnavailable("The inference server sent what is no piece of a text.") from error
        if chunk.model != self._name:
            raise ModelUnavailable("The inference server answered from another version.")
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            if choice.index not in self._going:
                raise ModelUnavailable("The inference server went on with a text that is at its end, or not asked for.")
            if choice.finish_reason:
                self._going.discard(choice.index)
                self._ends += choice.at_an_end_token
        return chunk.choices

    async def _events(self) -> AsyncIterator[bytes]:
        """The data of each event up to the last one; what is cut off is none."""
        data: list[bytes] = []
        size = 0
        async for line in lines(self._response):
            field = line.removesuffix(b"\r")
            if field.startswith(DATA):
                data.append(field.removeprefix(DATA).removeprefix(b" "))
                size += len(field)
                if size > LONGEST:
                    raise httpx.RemoteProtocolError(f"an event is longer than {LONGEST} bytes")
            elif not field and data:
                whole = b"\n".join(data)
                data, size = [], 0
                if whole == DONE:
                    return
                yield whole

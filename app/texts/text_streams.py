"""Texts that a worker writes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable

import httpx
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from app.domain import worker_http
from app.domain.contract import TEXT_EVENT, AnyVersion, Begun, Broken, Continue, Piece
from app.domain.errors import ModelUnavailable
from app.domain.problems import error_of
from app.fleet import Fleet, raised, unreadable
from app.texts.lines import lines
from app.texts.places import Places
from app.texts.writing import Counted

logger = logging.getLogger(__name__)


class TextStream:
    """The texts of one request, from a worker. It has to be closed."""

    def __init__(self, response: httpx.Response, texts: int, closed: Callable[[], None]) -> None:
        self._response, self._texts, self._closed = response, texts, closed
        self._lines = lines(response)
        self._begun = Begun(version=0, prompt_tokens=())
        self._new = 0

    @property
    def version(self) -> AnyVersion:
        """The version that writes, as the first event says."""
        return self._begun.version

    async def open(self) -> None:
        """Read the first event.

        Raises:
            ModelUnavailable: the worker broke off, or cannot be understood.
        """
        event = await self._event()
        if not isinstance(event, Begun):
            raise unreadable()
        self._begun = event

    async def pieces(self) -> AsyncIterator[Piece]:
        """The pieces of all texts as they come, up to each one's end.

        Raises:
            ModelUnavailable: the worker broke off. PalimpsestError: why the worker cannot go on.
        """
        texts = self._texts
        while texts:
            event = await self._event()
            if isinstance(event, Broken):
                raise error_of(event.problem)
            if not isinstance(event, Piece):
                raise unreadable()
            texts -= event.finish is not None
            self._new += event.new_tokens
            yield event

    def counted(self) -> Counted:
        """The tokens, once all pieces were read."""
        return Counted(prompt=sum(self._begun.prompt_tokens), new=self._new)

    async def close(self) -> None:
        """Let the worker know that nobody listens any more."""
        try:
            await self._response.aclose()
        finally:
            self._closed()

    async def _event(self) -> Begun | Piece | Broken:
        try:
            line = await anext(self._lines, b"")
        except httpx.RequestError as error:
            raise ModelUnavailable("The worker broke off in the midst of a text.") from error
        if not line:
            raise ModelUnavailable("The worker broke off in the midst of a text.")
        try:
            return TEXT_EVENT.validate_json(line)
        except ValidationError as error:
            raise unreadable() from error


class TextStreams:
    """The way to texts that are told while they are written; at most so many requests at a time."""

    def __init__(self, fleet: Fleet, http: httpx.AsyncClient, places: Places) -> None:
        self._fleet, self._http, self._places = fleet, http, places

    async def open(self, model: str, request: Continue, texts: int) -> TextStream:
        """Have so many texts written by one of the model's workers, or by the next if that one cannot be reached.

        Raises:
            Unavailable: so many are being written already. ModelUnavailable: no worker answers.
            PalimpsestError: what a worker refuses the request for.
        """
        self._places.take()
        try:
            stream = TextStream(await self._answer(model, request), texts, self._places.give_back)
        except BaseException:
            self._places.give_back()
            raise
        try:
            await stream.open()
        except BaseException:
            await stream.close()
            raise
        return stream

    async def _answer(self, model: str, request: Continue) -> httpx.Response:
        content, headers = request.model_dump_json(), {"Content-Type": "application/json"}
        candidates = self._fleet.candidates(model, request)
        while card := await run_in_threadpool(next, candidates, None):  # it may read Redis
            post = self._http.build_request("POST", f"{card.url}{worker_http.WRITE}", content=content, headers=headers)
            try:
                response = await self._http.send(post, stream=True)
            except httpx.ReadTimeout as error:
                raise ModelUnavailable(f"{model} took too long to answer.", field="model", value=model) from error
            except httpx.TransportError as error:
                logger.warning("worker %s of %s cannot be reached: %r", card.worker, model, error)
                continue
            if response.is_success:
                return response
            try:
                await response.aread()
            finally:
                await response.aclose()
            raise raised(response)
        raise ModelUnavailable(f"No live worker serves {model}.", field="model", value=model)

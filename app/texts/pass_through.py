"""Requests that are passed on to the inference servers that have proven the version."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

import httpx

from app.domain.contract import Continue
from app.domain.errors import ModelUnavailable, PalimpsestError, RequestError
from app.engine_fleet import Upstream
from app.texts.engine_stream import EngineStream
from app.texts.places import Places
from app.texts.vllm import body_of, path_of

logger = logging.getLogger(__name__)

RESTED_S = 5.0
"""For so long a server that failed is asked after all others: about as long as its follower takes to tell of it."""
REFUSALS = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
"""With one of these a server says that it does not take the request, as the others would not."""


@dataclass(slots=True)
class Passage:
    """One request on its way from server to server: those that are left to be asked, and what one refused it for.

    texts: how many there will be.
    """

    model: str
    version: int
    request: Continue
    texts: int
    left: list[Upstream]
    refusal: PalimpsestError | None = None


class PassThrough:
    """The way to the inference servers, for one event loop; knows which of them are busy and which have just failed."""

    def __init__(self, http: httpx.AsyncClient, places: Places, patience_s: float) -> None:
        """``patience_s``: longest wait for a server's first words."""
        self._http, self._places, self._patience_s = http, places, patience_s
        self._open: Counter[str] = Counter()
        self._asked: dict[str, float] = {}
        self._failed: dict[str, float] = {}

    async def open(self, passage: Passage) -> EngineStream | None:
        """Have the texts written by the next server that begins to; None if none of those that are left does.

        Raises:
            Unavailable: so many are being written already.
        """
        while passage.left:
            upstream = min(passage.left, key=self._burden)
            passage.left.remove(upstream)
            if (stream := await self._begun(passage, upstream)) is not None:
                return stream
        return None

    def _fails(self, upstream: Upstream, why: str) -> None:
        """Ask a server after the others for a while."""
        logger.warning("inference server %s, asked for %s: %s", upstream.url, upstream.name, why)
        self._failed[upstream.url] = time.monotonic()

    def _burden(self, upstream: Upstream) -> tuple[bool, int, float]:
        """Whether it failed lately, how many of our requests it answers, when it was asked last."""
        failed = time.monotonic() - self._failed.get(upstream.url, float("-inf")) < RESTED_S
        return failed, self._open[upstream.url], self._asked.get(upstream.url, 0.0)

    async def _begun(self, passage: Passage, upstream: Upstream) -> EngineStream | None:
        self._places.take()
        self._open[upstream.url] += 1
        self._asked[upstream.url] = time.monotonic()
        try:
            async with asyncio.timeout(self._patience_s):
                stream = await self._answered(passage, upstream)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ModelUnavailable) as error:
            self._fails(upstream, repr(error))
            stream = None
        except BaseException:
            self._closed(upstream)
            raise
        if stream is None:
            self._closed(upstream)
        return stream

    async def _answered(self, passage: Passage, upstream: Upstream) -> EngineStream | None:
        """A stream whose first words are there; None where the server refuses."""
        body = body_of(passage.request, upstream.name)
        post = self._http.build_request("POST", f"{upstream.url}{path_of(passage.request)}", json=body)
        response = await self._http.send(post, stream=True)
        try:
            if response.is_success:
                closed = partial(self._closed, upstream)
                stream = EngineStream(response, upstream.name, passage.version, passage.texts, closed)
                await stream.open()
                return stream
        except BaseException:
            await response.aclose()
            raise
        await response.aclose()
        self._refused(passage, upstream, response.status_code)
        return None

    def _refused(self, passage: Passage, upstream: Upstream, status: int) -> None:
        if status == HTTPStatus.NOT_FOUND:  # it has unloaded the version since it was looked at
            logger.info("inference server %s does not have %s any more", upstream.url, upstream.name)
        elif status in REFUSALS:
            passage.refusal = RequestError(f"The inference server refuses the request, with status {status}.")
            passage.left.clear()
        else:
            self._fails(upstream, f"status {status}")

    def _closed(self, upstream: Upstream, broken: bool = False) -> None:
        self._open[upstream.url] -= 1
        self._places.give_back()
        if broken:
            self._fails(upstream, "it broke off")

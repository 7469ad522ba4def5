"""Whether a request is sent again, and after what pause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from app.client.calls import Call
from app.client.errors import seconds

PASSING = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may succeed."""
IN_FLIGHT = 409
"""With the code below, of a request with an Idempotency-Key: the first one is not answered yet."""
IN_FLIGHT_CODE = "request_in_flight"
LONGEST_PAUSE_S = 10.0
FIRST_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Attempts:
    """``most``: how often a request is sent at most."""

    most: int = 3

    def after_failure(self, call: Call[Any], attempt: int, error: httpx.TransportError) -> float | None:
        """Seconds to wait before the next attempt, or None: there is none.

        A request that is not repeatable is sent again only where nothing of it can have arrived.
        """
        unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        return self._pause(attempt) if call.repeatable or unsent else None

    def after_answer(self, call: Call[Any], attempt: int, response: httpx.Response) -> float | None:
        """The same, for an answer; it has been read."""
        passing = response.status_code in PASSING
        passing |= response.status_code == IN_FLIGHT and IN_FLIGHT_CODE in response.text
        if not (call.repeatable and passing) or (pause := self._pause(attempt)) is None:
            return None
        return min(max(pause, seconds(response.headers.get("Retry-After")) or 0.0), LONGEST_PAUSE_S)

    def _pause(self, attempt: int) -> float | None:
        return FIRST_PAUSE_S * 2**attempt if attempt + 1 < self.most else None

"""What those who are alive say of themselves: cards in Redis that expire unless they are written anew."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from redis import Redis

logger = logging.getLogger(__name__)

CardT = TypeVar("CardT", bound=BaseModel)

REMEMBERED_S = 1.0

_FORGET_THE_DEAD = "if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('SREM', KEYS[1], ARGV[1]) end"


class LiveCards(Generic[CardT]):
    """The cards of one kind, in order; those that cannot be read are left out."""

    def __init__(
        self, redis: Redis, kind: type[CardT], members: str, key: Callable[[str], str], order: Callable[[CardT], Any]
    ) -> None:
        """``members``: the set of all ids. ``key``: where the card of one is. ``order``: what cards are sorted by."""
        self._redis, self._kind, self._members, self._key, self._order = redis, kind, members, key, order
        self._remembered: tuple[float, list[CardT]] = (float("-inf"), [])

    def now(self) -> list[CardT]:
        """Read the cards."""
        ids = sorted(_text(each) for each in self._redis.smembers(self._members))
        texts = self._redis.mget([self._key(each) for each in ids]) if ids else []
        alive: list[CardT] = []
        for each, text in zip(ids, texts, strict=True):
            if text is None:
                self._redis.eval(_FORGET_THE_DEAD, 2, self._members, self._key(each), each)
            elif card := self._card(each, text):
                alive.append(card)
        alive.sort(key=self._order)
        self._remembered = (time.monotonic(), alive)
        return alive

    def lately(self) -> list[CardT]:
        """The cards as read at most ``REMEMBERED_S`` ago, since questions may come by the hundred a second."""
        read_at, cards = self._remembered
        return cards if time.monotonic() - read_at < REMEMBERED_S else self.now()

    def _card(self, each: str, text: bytes | str) -> CardT | None:
        try:
            return self._kind.model_validate_json(text)
        except ValidationError as error:
            logger.warning("%s has a card that cannot be read: %s", self._key(each), error)
            return None


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()

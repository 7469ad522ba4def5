"""The inference servers that follow the edit log, as the cards of those say who have them follow it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass

from redis import Redis

from app.access.caller import ANYONE, Caller
from app.domain import keyspace
from app.domain.contract import EngineServer, FollowerCard
from app.live_cards import LiveCards

ANSWERING = ("serving", "behind")
"""States of servers that answer questions, from the versions that they have proven."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server that has a version, and what it calls that version."""

    url: str
    name: str


class EngineFleet:
    """The live followers and their servers."""

    def __init__(self, redis: Redis) -> None:
        self._cards = LiveCards(
            redis, FollowerCard, keyspace.FOLLOWERS, keyspace.follower, lambda card: (card.model, card.follower)
        )
        self._caller = ANYONE

    def seen_by(self, caller: Caller) -> EngineFleet:
        """The same servers as a caller sees them: those of other models than theirs are not known."""
        seen = copy(self)
        seen._caller = caller  # noqa: SLF001 - a copy of this one
        return seen

    def followers(self, model: str | None = None) -> tuple[FollowerCard, ...]:
        """The live followers, of one model or of all, by model and name."""
        return tuple(self._of(model, self._cards.now()))

    def servers(self, model: str) -> list[EngineServer]:
        """A model's servers by their URLs; of one that two followers tell of, what was seen last."""
        return _by_url(self.followers(model))

    def upstreams(self, model: str, version: int) -> list[Upstream]:
        """The servers that have proven a version and answer, as told at most a second ago."""
        found = _by_url(self._of(model, self._cards.lately()))
        answering = [server for server in found if server.state in ANSWERING and version in server.versions]
        return [
            Upstream(server.url.rstrip("/"), name)
            for server in answering
            if (name := server.base_name if version == 0 else f"{model}@{version}") is not None
        ]

    def _of(self, model: str | None, cards: Sequence[FollowerCard]) -> Iterator[FollowerCard]:
        return (card for card in cards if model in (None, card.model) and self._caller.may_touch(card.model))


def _by_url(cards: Iterator[FollowerCard] | Sequence[FollowerCard]) -> list[EngineServer]:
    seen = sorted((server for card in cards for server in card.servers), key=lambda server: server.checked)
    newest = {server.url: server for server in seen}
    return [newest[url] for url in sorted(newest)]

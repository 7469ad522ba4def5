"""One pile of slices from its laying out to its last answer, as the leader sees it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from app.domain.errors import PalimpsestError
from workers.spreading.pile import Pile, Sign

logger = logging.getLogger(__name__)

MadeT = TypeVar("MadeT")

BEHIND = 3.0
"""A slice that is out for so many times as long as the leader takes for one of its size is done again."""

PATIENCE_S = 2.0
"""And for so long beyond that: small slices take hardly any time, and their helper has to begin."""

LOOK_S = 0.05


class Overtaken(Exception):
    """Somebody else has answered the slice that is being computed."""


@dataclass(frozen=True, slots=True)
class Doing(Generic[MadeT]):
    """How a slice is computed here, and how a helper's answer is read; sizes: facts of each slice.

    own: is given the slice's index, and a look to be called now and then, which raises ``Overtaken``.
    read: raises PalimpsestError for an answer that is not what was asked for.
    waiting: called while there is nothing to do but to wait; may raise to end it all.
    """

    sizes: Sequence[int]
    own: Callable[[int, Callable[[], None]], MadeT]
    read: Callable[[int, bytes], MadeT]
    waiting: Callable[[], None]


@dataclass
class Round(Generic[MadeT]):
    """Slices of one pile: the leader takes them like a helper, and takes again what does not come back.

    workers: helpers whose answers were taken. redone: how many slices were computed again.
    """

    pile: Pile
    doing: Doing[MadeT]
    lease_s: float
    made: dict[int, MadeT] = field(default_factory=dict)
    workers: set[str] = field(default_factory=set)
    redone: int = 0

    def __post_init__(self) -> None:
        self._out: dict[int, float] = {}
        self._signs: dict[int, tuple[Sign, float]] = {}
        self._lost: set[int] = set()
        self._pace = 0.0
        self._next_look = 0.0

    @property
    def done(self) -> int:
        """How many facts are done, as far as is known: whole slices, and what helpers tell of theirs."""
        signs = ((index, sign.done) for index, (sign, _) in self._signs.items() if index not in self.made)
        return sum(self.doing.sizes[index] for index in self.made) + sum(told for _, told in signs)

    def run(self) -> list[MadeT]:
        """All slices, in order. The first is the leader's own: it is not on the pile, and shows how long they take.

        Raises:
            Whatever computing or waiting raises.
        """
        slices = len(self.doing.sizes)
        waiting = list(range(1, slices))
        self._compute(0)
        while len(self.made) < slices:
            self.look()
            waiting = [index for index in waiting if index not in self.made]
            mine = self._take(waiting)
            if mine is None and (mine := self._overdue()) is not None:
                self.redone += 1
                logger.warning("a slice is done again: its helper is silent, behind or has declined")
            if mine is None:
                self.doing.waiting()
                time.sleep(LOOK_S)
            else:
                self._compute(mine)
        return [self.made[index] for index in range(slices)]

    def look(self, *, at_least_s: float = 0.0) -> None:
        """Take the answers that have come, and note signs of life; where given, not within so long of the last look."""
        now = time.monotonic()
        if at_least_s and now < self._next_look:
            return
        self._next_look = now + at_least_s
        for index, sign in self.pile.signs().items():
            self._out.setdefault(index, now)
            if index not in self._signs or self._signs[index][0] != sign:
                self._signs[index] = (sign, now)
        for index in self.pile.answered() - self.made.keys() - self._lost:
            self._read(index)

    def _take(self, waiting: list[int]) -> int | None:
        """The next slice that no helper has; those that one has leave the list."""
        while waiting:
            index = waiting.pop(0)
            if self.pile.take(index):
                return index
            self._out.setdefault(index, time.monotonic())
        return None

    def _overdue(self) -> int | None:
        """A slice that is out and that its helper will not bring, or not in time."""
        now = time.monotonic()
        for index in self._out.keys() - self.made.keys():
            since = self._out[index]
            heard = self._signs[index][1] if index in self._signs else since
            limit = PATIENCE_S + BEHIND * self._pace * self.doing.sizes[index]
            if self.pile.gone or index in self._lost or now - heard > self.lease_s or now - since > limit:
                return index
        return None

    def _compute(self, index: int) -> None:
        def look() -> None:
            self.look(at_least_s=0.25)
            if index in self.made:
                raise Overtaken

        start = time.monotonic()
        try:
            found = self.doing.own(index, look)
        except Overtaken:
            return
        self._pace = max(self._pace, (time.monotonic() - start) / max(1, self.doing.sizes[index]))
        self.made.setdefault(index, found)

    def _read(self, index: int) -> None:
        """Take an answer. Where it is none, or not what was asked for, the slice is done again."""
        if (answer := self.pile.answer(index)) is None:
            self._lost.add(index)
            return
        try:
            self.made[index] = self.doing.read(index, answer)
        except PalimpsestError as error:
            logger.warning("an answer to a slice is not taken: %s", error)
            self._lost.add(index)
            return
        if index in self._signs:
            self.workers.add(self._signs[index][0].worker)

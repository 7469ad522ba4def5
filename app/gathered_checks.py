"""Checks of small batches that wait for a worker at the same time go to it in one request.

A request costs both sides more than the check of a fact, and while the worker edits, each waits anew for its turn.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.domain.contract import EditBatch
from app.domain.errors import PalimpsestError

FEW_FACTS = 10
"""A batch of more facts is checked by a request of its own: the others need not wait for it."""

CheckOne = Callable[[str, EditBatch], None]
"""Takes a model and a batch; raises what is wrong with it."""

CheckAll = Callable[[str, Sequence[EditBatch]], Sequence[PalimpsestError | None]]
"""Takes a model and batches; returns what is wrong with each. Raises if that is not known of any."""


@dataclass(slots=True)
class _Check:
    """``known``: whether ``wrong`` says what is wrong with the batch, or None if nothing is."""

    batch: EditBatch
    taken: bool = False
    known: bool = False
    wrong: PalimpsestError | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    """The checks that wait for one model. Whoever has the turn takes all that wait, its own among them."""

    waiting: deque[_Check] = field(default_factory=deque)
    turn: threading.Lock = field(default_factory=threading.Lock)


class GatheredChecks:
    """Checks batches, those of several threads at once. If that goes wrong, each is checked on its own."""

    def __init__(self, check_one: CheckOne, check_all: CheckAll) -> None:
        self._check_one = check_one
        self._check_all = check_all
        self._lines: dict[str, _Line] = defaultdict(_Line)

    def check(self, model: str, batch: EditBatch) -> None:
        """Return if the batch could be edited.

        Raises:
            PalimpsestError: as ``check_one`` does.
        """
        check = _Check(batch)
        if len(batch.facts) <= FEW_FACTS:
            self._stand_in_line(model, check)
        if not check.known:
            self._check_one(model, batch)
        elif check.wrong is not None:
            raise check.wrong

    def waiting(self, model: str) -> list[EditBatch]:
        """The batches that the next request for the model will check."""
        return [each.batch for each in list(self._lines[model].waiting)]

    def _stand_in_line(self, model: str, check: _Check) -> None:
        """Wait until a request has checked this batch with others, or it turns out that it has to go alone."""
        line = self._lines[model]
        line.waiting.append(check)
        with line.turn:
            if check.taken:
                return
            together = [line.waiting.popleft() for _ in range(len(line.waiting))]
            for each in together:
                each.taken = True
            if len(together) > 1:
                self._check_together(model, together)
            else:
                self._check_alone(model, check)

    def _check_alone(self, model: str, check: _Check) -> None:
        """Within the turn, so that those who come meanwhile gather."""
        try:
            self._check_one(model, check.batch)
        except PalimpsestError as error:
            check.wrong = error
        check.known = True

    def _check_together(self, model: str, checks: Sequence[_Check]) -> None:
        try:
            wrong = self._check_all(model, [each.batch for each in checks])
        except PalimpsestError:  # each is told on its own what it was
            return
        for each, error in zip(checks, wrong, strict=True):
            each.known, each.wrong = True, error

"""Something that happens to a log in the middle of a read: after the first call of the file system, the second, ..."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

from app.domain.errors import PalimpsestError

Read = Callable[[], object]
Step = Callable[[], object]


def told_as_before_or_after(
    make: Callable[[], Read], calls: Sequence[tuple[Any, str]], happen: Step, undo: Step
) -> None:
    """At whatever moment of a read something happens, the read's outcome is that of a read before or after it.

    Args:
        make: a read that begins anew, for each moment.
        calls: the functions (owner, name) after any of which it happens.
    """
    before = outcome(make())
    happen()
    after = outcome(make())
    undo()
    for nth in count(1):
        read, disturbance = make(), _Disturbance(nth, happen)
        with disturbance.of(calls):
            found = outcome(read)
        assert found in (before, after), f"after call {nth}"
        if not disturbance.came:
            return
        undo()


def outcome(read: Read) -> object:
    """What a read gives: its value, or the kind of error that it ends with."""
    try:
        return read()
    except PalimpsestError as error:
        return type(error)


class _Disturbance:
    """Has something happen once, right after the nth call."""

    def __init__(self, nth: int, happen: Step) -> None:
        self._left, self._happen = nth, happen

    @property
    def came(self) -> bool:
        """Whether it has happened."""
        return self._left <= 0

    @contextmanager
    def of(self, calls: Sequence[tuple[Any, str]]) -> Iterator[None]:
        """Count the calls of these functions (owner, name) for as long as the context lasts."""
        with pytest.MonkeyPatch.context() as patch:
            for owner, name in calls:
                patch.setattr(owner, name, self._counting(getattr(owner, name)))
            yield

    def _counting(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            try:
                return real(*arguments, **options)
            finally:
                self._left -= 1
                if self._left == 0:  # ``happen`` may call the function too: that counts on below 0
                    self._happen()

        return call

"""A signal ends what opens there and then, and is noted at all other times; it never falls into anything."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Timer
from types import FrameType
from typing import Any

import pytest

from workers.stopping import SIGNALS, Stopping


@pytest.fixture(params=SIGNALS, ids=["SIGTERM", "SIGINT"])
def number(request: pytest.FixtureRequest) -> signal.Signals:
    return signal.Signals(request.param)


@contextmanager
def signal_at_instruction(nth: int) -> Iterator[list[int]]:
    """Have a signal come at the nth instruction of all that is called in the block; a list of those that there were."""
    passed: list[int] = []

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            passed.append(frame.f_lasti)
            if len(passed) == nth:
                signal.raise_signal(signal.SIGTERM)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield passed
    finally:
        sys.settrace(before)


class TestTelling:
    def test_nobody_is_told_before_a_signal_comes(self) -> None:
        stopping = Stopping()
        assert not stopping.told
        assert not stopping.out_of_grace(0)
        assert not stopping.wait(0.01)

    def test_the_first_signal_gives_grace_and_the_second_none(
        self, installed: Stopping, number: signal.Signals
    ) -> None:
        signal.raise_signal(number)
        assert installed.told
        assert not installed.out_of_grace(600)
        assert installed.out_of_grace(0)
        signal.raise_signal(number)
        assert installed.out_of_grace(600)

    def test_grace_ends(self) -> None:
        stopping = Stopping()
        stopping.tell()
        assert not stopping.out_of_grace(0.2)
        time.sleep(0.25)
        assert stopping.out_of_grace(0.2)

    def test_a_signal_ends_a_wait(self, installed: Stopping, number: signal.Signals) -> None:
        started = time.monotonic()
        Timer(0.1, os.kill, (os.getpid(), number)).start()
        assert installed.wait(600)
        assert time.monotonic() - started < 60

    def test_a_signal_at_any_instruction_of_a_wait_is_heard_and_holds_nothing_up(self, installed: Stopping) -> None:
        nth, passed = 1, [0]
        while nth <= len(passed):
            installed._heard.clear()
            with signal_at_instruction(nth) as passed:
                installed.wait(0.0005)
            assert installed.told
            nth += 1
        assert nth > 50


class TestAtOnce:
    def test_a_signal_ends_what_opens_with_status_0(self, installed: Stopping, number: signal.Signals) -> None:
        def opening() -> None:
            signal.raise_signal(number)
            pytest.fail("it goes on")

        assert status_of(installed, opening) == 0

    def test_nothing_opens_once_it_is_told(self, installed: Stopping) -> None:
        signal.raise_signal(signal.SIGTERM)
        assert status_of(installed, lambda: pytest.fail("it opens")) == 0

    def test_a_signal_that_something_swallowed_ends_it_too(self, installed: Stopping) -> None:
        def opening() -> None:
            with suppress(BaseException):
                signal.raise_signal(signal.SIGTERM)

        assert status_of(installed, opening) == 0

    def test_a_signal_that_comes_out_as_an_error_is_still_a_stop(self, installed: Stopping) -> None:
        def opening() -> None:
            try:
                signal.raise_signal(signal.SIGTERM)
            except SystemExit:
                raise OSError("could not be read") from None

        assert status_of(installed, opening) == 0

    def test_errors_of_its_own_pass(self) -> None:
        with pytest.raises(OSError, match="no such model"), Stopping().at_once():
            raise OSError("no such model")

    def test_nothing_is_raised_on_the_way_out_nor_later(self, installed: Stopping, number: signal.Signals) -> None:
        again = partial(signal.raise_signal, number)
        assert status_of(installed, again, way_out=again) == 0

    def test_nothing_is_raised_after_it(self, installed: Stopping, number: signal.Signals) -> None:
        with installed.at_once():
            pass
        signal.raise_signal(number)
        assert installed.told


def status_of(
    stopping: Stopping, opening: Callable[[], object], way_out: Callable[[], object] = lambda: None
) -> object:
    """The exit status with which a signal ends ``opening``."""
    try:
        with stopping.at_once():
            opening()
    except SystemExit as left:
        way_out()
        return left.code
    return "it has opened"

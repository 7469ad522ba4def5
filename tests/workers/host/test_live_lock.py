"""Many may read at once, one writes alone, and who waits to write goes before who comes to read."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from workers.host.live_lock import LiveLock

PATIENCE_S = 60.0


@pytest.fixture
def lock() -> LiveLock:
    return LiveLock()


def writer(lock: LiveLock, events: list[str]) -> threading.Thread:
    """Waits to write."""

    def write() -> None:
        with lock.writing():
            events.append("written")

    thread = threading.Thread(target=write)
    thread.start()
    while not lock.writer_waits:
        assert thread.is_alive()
    return thread


def reader(lock: LiveLock, events: list[str]) -> threading.Thread:
    """Reads as soon as it may."""

    def read() -> None:
        with lock.reading():
            events.append("read")

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def test_readers_share_and_the_writer_waits_for_the_last_of_them(lock: LiveLock) -> None:
    events: list[str] = []
    with ExitStack() as reading:
        reading.enter_context(lock.reading())
        with lock.reading():
            writing = writer(lock, events)
        assert events == []
    writing.join(PATIENCE_S)
    assert events == ["written"]
    assert not lock.writer_waits


def test_a_waiting_writer_goes_before_later_readers(lock: LiveLock) -> None:
    events: list[str] = []
    with lock.reading():
        threads = [writer(lock, events), reader(lock, events), reader(lock, events)]
    for thread in threads:
        thread.join(PATIENCE_S)
    assert events == ["written", "read", "read"]


def test_a_write_tells_how_long_it_waited_and_how_long_it_held(lock: LiveLock, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 13.0, 13.5])
    monkeypatch.setattr("workers.host.live_lock.time.perf_counter", lambda: next(clock))
    told: list[tuple[float, float]] = []
    lock.on_written = lambda *seconds: told.append(seconds)
    with lock.writing():
        assert told == []
    assert told == [(3.0, 0.5)]


def test_a_write_that_fails_lets_go(lock: LiveLock) -> None:
    with pytest.raises(ZeroDivisionError), lock.writing():
        raise ZeroDivisionError
    events: list[str] = []
    reader(lock, events).join(PATIENCE_S)
    assert events == ["read"]

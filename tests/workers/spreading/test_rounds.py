"""A round of slices comes to its end, and to the same, whatever helpers do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from app.domain.errors import JobCancelled, RequestError
from workers.spreading import rounds
from workers.spreading.pile import Sign
from workers.spreading.rounds import Doing, Round
from workers.spreading.slices import Slice

SLICES = 5
LEASE_S = 0.3


@dataclass
class Table:
    """A pile in memory, from which a test's helper takes."""

    id: str = "0123456789abcdef"
    gone: bool = False
    left: set[int] = field(default_factory=lambda: set(range(1, SLICES)))
    told: dict[int, Sign] = field(default_factory=dict)
    answers: dict[int, bytes | None] = field(default_factory=dict)

    def put(self, slices: Sequence[Slice], updates: bytes) -> None:
        """Not asked for here."""

    def take(self, index: int) -> bool:
        taken = index in self.left
        self.left.discard(index)
        return taken or self.gone

    def signs(self) -> Mapping[int, Sign]:
        return dict(self.told)

    def answered(self) -> frozenset[int]:
        return frozenset(self.answers)

    def answer(self, index: int) -> bytes | None:
        return self.answers[index]

    def helper_takes(self, *indices: int) -> None:
        self.left -= set(indices)
        self.told |= {index: Sign(worker="other", beat=0) for index in indices}


def go_on() -> None:
    """Nothing ends the job."""


def read(index: int, answer: bytes) -> int:
    if not answer.isdigit():
        raise RequestError("that is no answer")
    return int(answer)


def round_of(
    table: Table,
    own: Callable[[int, Callable[[], None]], int] = lambda index, _: index,
    waiting: Callable[[], None] = go_on,
) -> Round[int]:
    return Round(table, Doing([1] * SLICES, own, read, waiting), LEASE_S)


def ended(made: Round[int]) -> tuple[list[int], int, int]:
    return made.run(), made.redone, len(made.workers)


def test_a_leader_whom_nobody_helps_computes_all() -> None:
    assert ended(round_of(Table())) == ([0, 1, 2, 3, 4], 0, 0)


def test_what_helpers_bring_is_taken() -> None:
    table = Table()
    table.helper_takes(1, 3)
    table.answers |= {1: b"10", 3: b"30"}
    assert ended(round_of(table)) == ([0, 10, 2, 30, 4], 0, 1)


@pytest.mark.parametrize("sign", [True, False])
def test_a_helper_that_dies_costs_its_lease_and_no_more(sign: bool) -> None:
    table = Table()
    table.helper_takes(1)
    if not sign:
        table.told.clear()  # it died between taking and its first sign
    start = time.monotonic()
    assert ended(round_of(table)) == ([0, 1, 2, 3, 4], 1, 0)
    assert time.monotonic() - start >= LEASE_S


@pytest.mark.parametrize("answer", [None, b"", b"nonsense"])
def test_an_answer_that_is_none_is_computed_here_at_once(answer: bytes | None) -> None:
    table = Table()
    table.helper_takes(2)
    table.answers[2] = answer
    made = Round(table, Doing([1] * SLICES, lambda index, _: index, read, go_on), 600.0)
    assert ended(made) == ([0, 1, 2, 3, 4], 1, 0)


def test_a_helper_that_lives_and_falls_behind_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "PATIENCE_S", 0.4)
    table, over = Table(), threading.Event()
    table.helper_takes(1)

    def beat() -> None:
        beats = 0
        while not over.wait(0.02):
            beats += 1
            table.told[1] = Sign(worker="slow", beat=beats)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        assert ended(round_of(table)) == ([0, 1, 2, 3, 4], 1, 0)
    finally:
        over.set()
        thread.join()


def test_a_helper_that_goes_on_is_waited_for() -> None:
    table, waits = Table(), []

    def wait() -> None:
        waits.append(1)
        table.told[1] = Sign(worker="other", beat=len(waits))
        if len(waits) == 12:  # twice the lease
            table.answers[1] = b"10"

    table.helper_takes(1)
    assert ended(round_of(table, waiting=wait)) == ([0, 10, 2, 3, 4], 0, 1)


def test_a_slice_that_comes_while_it_is_done_again_is_taken_from_its_helper() -> None:
    table = Table()
    table.helper_takes(1)

    def own(index: int, look: Callable[[], None]) -> int:
        if index == 1:
            table.answers[1] = b"10"
            time.sleep(0.3)
            look()
            raise AssertionError("the look ends it")
        return index

    assert ended(round_of(table, own)) == ([0, 10, 2, 3, 4], 1, 1)


def test_where_the_pile_is_lost_the_leader_computes_what_is_out() -> None:
    table = Table()
    table.helper_takes(1, 2)

    def own(index: int, _: Callable[[], None]) -> int:
        table.gone = True
        return index

    start = time.monotonic()
    assert ended(round_of(table, own))[0] == [0, 1, 2, 3, 4]
    assert time.monotonic() - start < LEASE_S


def test_a_job_that_is_cancelled_does_not_wait_for_helpers() -> None:
    def cancelled() -> None:
        raise JobCancelled("the job was cancelled before it committed")

    table = Table()
    table.helper_takes(1)
    with pytest.raises(JobCancelled):
        round_of(table, waiting=cancelled).run()


def test_progress_counts_whole_slices_and_what_helpers_tell() -> None:
    table = Table()
    table.helper_takes(1)
    made = Round(table, Doing([10, 10], lambda index, _: index, read, go_on), LEASE_S)
    table.told[1] = Sign(worker="other", beat=3, done=4)
    made.look()
    assert made.done == 4
    made.made[0] = 0
    assert made.done == 14


def test_a_look_while_computing_puts_off_none_after_it() -> None:
    table = Table()
    made = round_of(table)
    made.look(at_least_s=60.0)
    table.answers[3] = b"3"
    made.look(at_least_s=60.0)
    assert made.made == {}
    made.look()
    assert made.made == {3: 3}

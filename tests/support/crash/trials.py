"""One fault from beginning to end: a worker meets it, another one ends the work, and all is looked at."""

from __future__ import annotations

import signal
import time

from app.domain.failpoints import Action, Point
from tests.support.crash.cases import AFTERWARDS, CHANGES, FOLLOWING, Case, Counts, Kind
from tests.support.crash.findings import BROKEN_OFF, Finding
from tests.support.crash.forked_worker import ForkedWorker
from tests.support.crash.scene import Ground, House, until

AUTO = {
    "PALIMPSEST_WORKER_ROLE": "auto",
    "PALIMPSEST_WORKER_LEASE_S": "0.5",
    "PALIMPSEST_WORKER_FOLLOW_S": "0.05",
}
"""Of workers that take over from each other; a lease is as short as may be."""


def count(ground: Ground, redis_url: str) -> Counts:
    """How often a worker comes to each point, from its start to the end of one job of each kind."""
    return {kind: _counted(ground, redis_url, kind) for kind in Kind}


def _counted(ground: Ground, redis_url: str, kind: Kind) -> dict[Point, int]:
    with ground.house(redis_url) as house:
        house.redis.flushdb()
        house.submit(CHANGES[kind])
        worker = house.fork("counting", ",".join(f"{point}=count" for point in Point))
        until(house.all_ended, f"{kind} does not end:\n{house.output()}")
        worker.end()
        assert worker.note is not None, house.output()
        return worker.note.reached


def meet(ground: Ground, redis_url: str, case: Case) -> Finding:
    """Have a worker meet the fault."""
    start = time.monotonic()
    finding = Finding((case.point, case.action), str(case))
    with ground.house(redis_url) as house:
        house.redis.flushdb()
        house.submit(CHANGES[case.kind], FOLLOWING)
        try:
            _fault(house, case, finding)
            end_the_work(house, finding)
        except BROKEN_OFF as error:
            finding.losses.append(f"{type(error).__name__}: {error}")
        finding.output = house.output() if finding.bad else ""
    finding.seconds = time.monotonic() - start
    return finding


def _fault(house: House, case: Case, finding: Finding) -> None:
    """Start the armed worker and see it through its fault."""
    armed = house.fork("armed", case.trap, **(AUTO if case.action is Action.STOP else {}))
    if case.action is Action.KILL:
        until(lambda: armed.poll() is not None, "the worker was not killed")
        finding.read_version(house)
    elif case.action is Action.STOP:
        until(armed.stopped_or_ended, "the worker was not stopped")
        finding.read_version(house)
        _overtaken(house, armed, finding)
    else:
        until(lambda: armed.poll() is not None or house.all_ended(), "neither worker nor jobs come to an end")
        finding.read_outcome(house)
        judge_survivor(house, armed, finding)


def judge_survivor(house: House, armed: ForkedWorker, finding: Finding) -> None:
    """A worker that lived through its fault must be at the log's head, as a replay has it.

    One that left of its own accord must have been so too, if it came so far as to serve anything.
    """
    lived = armed.poll() is None
    if lived:
        armed.end()
    if armed.note is None:
        finding.damage += ["a worker did not end in an orderly way"] if lived else []
    elif armed.note.version != house.log.head():
        finding.damage.append("a worker went on at another version than the log's")
    else:
        replay = house.ground.replayed(house)
        if armed.note.weights != replay.weights or armed.note.keys != replay.keys:
            finding.damage.append("a worker served other weights or keys than the log's")


def _overtaken(house: House, stopped: ForkedWorker, finding: Finding) -> None:
    """A second worker takes over while the first one is stopped, and ends its work; then the first one goes on."""
    second = house.fork("second", **AUTO)
    until(lambda: second.poll() is not None or house.all_ended(), "the second worker does not take over")
    before = house.log.head()
    stopped.signal(signal.SIGCONT)
    until(lambda: stopped.poll() is not None or house.followed(), "the overtaken worker neither leaves nor follows")
    judge_survivor(house, stopped, finding)
    judge_survivor(house, second, finding)
    if house.log.head() != before:
        finding.damage.append("the overtaken worker committed")


def end_the_work(house: House, finding: Finding) -> None:
    """Whatever is left is done by a worker that meets no fault, and one more edit; then all is looked at."""
    house.submit(AFTERWARDS)
    last = house.fork("last")
    until(lambda: last.poll() is not None or house.all_ended(), "accepted jobs do not end")
    last.end()
    finding.look(house, last.note)

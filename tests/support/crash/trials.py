"""One fault from beginning to end: a worker meets it, another one ends the work, and all is looked at."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable

from app.domain.failpoints import Action, Point
from tests.support.crash.cases import AFTERWARDS, CHANGES, FOLLOWING, Case, Counts, Kind
from tests.support.crash.findings import BROKEN_OFF, Finding
from tests.support.crash.forked_worker import ForkedWorker
from tests.support.crash.scene import Ground, Scene, until

AUTO = {
    "PALIMPSEST_WORKER_ROLE": "auto",
    "PALIMPSEST_WORKER_LEASE_S": "0.5",
    "PALIMPSEST_WORKER_FOLLOW_S": "0.05",
}
"""Of workers that take over from each other; a lease is as short as may be."""


def count(ground: Ground, redis_url: str, kinds: Iterable[Kind]) -> Counts:
    """How often a worker comes to each point, from its start to the end of one job of each kind."""
    return {kind: _counted(ground, redis_url, kind) for kind in kinds}


def _counted(ground: Ground, redis_url: str, kind: Kind) -> dict[Point, int]:
    with ground.scene(redis_url) as scene:
        scene.redis.flushdb()
        scene.submit(CHANGES[kind])
        worker = scene.fork("counting", ",".join(f"{point}=count" for point in Point))
        until(scene.all_ended, f"{kind} does not end:\n{scene.output()}")
        worker.end()
        assert worker.note is not None, scene.output()
        return worker.note.reached


def meet(ground: Ground, redis_url: str, case: Case) -> Finding:
    """Have a worker meet the fault."""
    start = time.monotonic()
    finding = Finding((case.point, case.action), str(case))
    with ground.scene(redis_url) as scene:
        scene.redis.flushdb()
        scene.submit(CHANGES[case.kind], FOLLOWING)
        try:
            _fault(scene, case, finding)
            end_the_work(scene, finding)
        except BROKEN_OFF as error:
            finding.losses.append(f"{type(error).__name__}: {error}")
        finding.output = scene.output() if finding.bad else ""
    finding.seconds = time.monotonic() - start
    return finding


def _fault(scene: Scene, case: Case, finding: Finding) -> None:
    """Start the armed worker and see it through its fault."""
    armed = scene.fork("armed", case.trap, **(AUTO if case.action is Action.STOP else {}))
    if case.action is Action.KILL:
        until(lambda: armed.poll() is not None, "the worker was not killed")
        finding.read_version(scene)
    elif case.action is Action.STOP:
        until(armed.stopped_or_ended, "the worker was not stopped")
        finding.read_version(scene)
        _overtaken(scene, armed, finding)
    else:
        until(lambda: armed.poll() is not None or scene.all_ended(), "neither worker nor jobs come to an end")
        finding.read_outcome(scene)
        judge_survivor(scene, armed, finding)


def judge_survivor(scene: Scene, armed: ForkedWorker, finding: Finding) -> None:
    """A worker that survived its fault must be at the log's head, with the weights and keys of a clean replay.

    So must one have been that ended by itself after it had opened its model.
    """
    lived = armed.poll() is None
    if lived:
        armed.end()
    if armed.note is None:
        finding.damage += ["a worker did not end in an orderly way"] if lived else []
    elif armed.note.version != scene.log.head():
        finding.damage.append("a worker went on at another version than the log's")
    else:
        replay = scene.ground.replayed(scene)
        if armed.note.weights != replay.weights or armed.note.keys != replay.keys:
            finding.damage.append("a worker served other weights or keys than the log's")


def _overtaken(scene: Scene, stopped: ForkedWorker, finding: Finding) -> None:
    """A second worker takes over while the first one is stopped, and ends its work; then the first one goes on."""
    second = scene.fork("second", **AUTO)
    until(lambda: second.poll() is not None or scene.all_ended(), "the second worker does not take over")
    before = scene.log.head()
    stopped.signal(signal.SIGCONT)
    until(lambda: stopped.poll() is not None or scene.followed(), "the overtaken worker neither leaves nor follows")
    judge_survivor(scene, stopped, finding)
    judge_survivor(scene, second, finding)
    if scene.log.head() != before:
        finding.damage.append("the overtaken worker committed")


def end_the_work(scene: Scene, finding: Finding) -> None:
    """Whatever is left is done by a worker that meets no fault, and one more edit; then all is looked at."""
    scene.submit(AFTERWARDS)
    last = scene.fork("last")
    until(lambda: last.poll() is not None or scene.all_ended(), "accepted jobs do not end")
    last.end()
    finding.look(scene, last.note)

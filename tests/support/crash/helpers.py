"""A large batch that a helper shares: what may happen to the helper at each of its steps, and to a leader meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass
from signal import SIGCONT
from unittest.mock import patch

from app.domain.contract import EditBatch, Fact, Hyperparameters
from app.domain.failpoints import Action, Point
from tests.support.crash.cases import FAULTS, FOLLOWING, STEPS
from tests.support.crash.findings import BROKEN_OFF, Finding
from tests.support.crash.forked_worker import ForkedWorker
from tests.support.crash.scene import Ground, Scene, until
from tests.support.crash.trials import AUTO, end_the_work, judge_survivor
from workers.queue.slices.pile import SlicePile

FACTS = 20
HELPERS_STEPS = (Point.SLICE_TAKEN, Point.SLICE_STEP, Point.SLICE_ANSWER_BEFORE, Point.SLICE_ANSWER_AFTER)
SPREAD = {"PALIMPSEST_WORKER_SPREAD_FACTS": "2", "PALIMPSEST_WORKER_SLICE_LEASE_S": "0.5"}


def large() -> EditBatch:
    """A batch that is cut into several slices."""
    facts = tuple(Fact(subject=f"Town{chr(97 + n)}", prompt="{} is a city in", object="Ghana") for n in range(FACTS))
    return EditBatch(facts=facts, unheld="keep", hyperparameters=Hyperparameters(v_num_grad_steps=STEPS))


@dataclass(frozen=True, slots=True)
class Shared:
    """One fault, of the helper or, at ``Point.SLICES_OUT``, of the leader."""

    point: Point
    action: Action

    def __str__(self) -> str:
        return f"shared edit, {self.point}={self.action}"

    def meet(self, ground: Ground, redis_url: str) -> Finding:
        """Have it happen."""
        start = time.monotonic()
        finding = Finding((self.point, self.action), str(self))
        with ground.scene(redis_url) as scene:
            scene.redis.flushdb()
            try:
                self._happen(scene, finding)
                end_the_work(scene, finding)
            except BROKEN_OFF as error:
                finding.losses.append(f"{type(error).__name__}: {error}")
            finding.output = scene.output() if finding.bad else ""
        finding.seconds = time.monotonic() - start
        return finding

    def _happen(self, scene: Scene, finding: Finding) -> None:
        """A leader and a helper; one of them is armed. Jobs are accepted once the helper follows."""
        of_leader, trap = self.point is Point.SLICES_OUT, f"{self.point}={self.action}"
        with patch.object(SlicePile, "take", _left_to_helpers):  # so that a helper comes to every step
            leader = scene.fork("leader", trap if of_leader else "", **AUTO, **SPREAD)
        until(lambda: "leader" in scene.roles(), "nobody leads")
        helper = scene.fork("helper", "" if of_leader else trap, **AUTO, **SPREAD)
        until(lambda: "replica" in scene.roles(), "nobody follows")
        scene.submit(large(), FOLLOWING)
        armed, other = (leader, helper) if of_leader else (helper, leader)
        until(scene.all_ended, "accepted jobs do not end")
        finding.read_outcome(scene)
        if self.action is Action.KILL and armed.poll() is None:
            finding.damage.append("the fault was not met")
        self._end(scene, armed, other, finding)

    def _end(self, scene: Scene, armed: ForkedWorker, other: ForkedWorker, finding: Finding) -> None:
        """Whoever was stopped goes on; no slices are left, and all who live are at the log's head."""
        armed.signal(SIGCONT)
        if armed.poll() is None:
            until(lambda: scene.followed() or armed.poll() is not None, "the armed worker does not follow")
        else:
            other.signal(SIGCONT)
        for worker in (armed, other):
            if worker.poll() is None:
                judge_survivor(scene, worker, finding)
        if left := scene.slices_left():
            finding.damage.append(f"slices were left behind: {left}")


def _left_to_helpers(pile: SlicePile, _index: int) -> bool:
    """In place of the leader's taking: it takes none."""
    return pile.gone


def shared() -> list[Shared]:
    """Every fault at every step of a helper, and of the leader while slices are out."""
    return [Shared(point, action) for point in (*HELPERS_STEPS, Point.SLICES_OUT) for action in FAULTS]

"""The engine's observer: turns its steps into a job's progress, and stops it when the job is to stop."""

from __future__ import annotations

from app.domain.contract import Progress
from app.domain.failpoints import Point, failpoint
from workers.steps import Steps

VERIFYING = 0.95
"""Share of a job that is done when only verification, commit and publish are left."""


class EditSteps:
    """The observer of one edit that changes ``layers`` layers."""

    def __init__(self, steps: Steps, layers: int) -> None:
        self._steps, self._layers = steps, layers
        self._solved = 0

    def targets(self, layer: int, step: int, steps: int, loss: float, done: int, facts: int) -> None:
        """Progress of the target optimisation; facts that have converged count as done."""
        failpoint(Point.TARGETS_STEP)
        self._steps.check()
        within = max(step / steps, done / facts)
        share = VERIFYING * min(self._solved + within, self._layers) / self._layers
        self._steps.tell(
            Progress(
                stage="targets",
                layer=layer,
                step=step,
                steps=steps,
                loss=loss,
                facts_done=done,
                facts=facts,
                share=share,
            )
        )

    def solving(self, layer: int) -> None:
        """Progress before a layer's solve, or after its tuning."""
        failpoint(Point.SOLVE_BEFORE)
        self._steps.check()
        self._solved += 1
        share = VERIFYING * min(self._solved, self._layers) / self._layers  # a batch may be solved several times
        self._steps.tell(Progress(stage="solve", layer=layer, share=share))

    def verifying(self) -> None:
        """All layers are solved."""
        self._steps.check()
        self._steps.tell(Progress(stage="verify", share=VERIFYING))
        failpoint(Point.VERIFY_BEFORE)

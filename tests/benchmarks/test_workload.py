"""Whether an edit under ``STILL`` leaves a model what it was, and costs as many steps."""

from __future__ import annotations

import torch

from benchmarks.step_clock import StepClock
from benchmarks.workload import STILL, Workload, random_workload
from workers.editing.editor import edit


def edited(work: Workload) -> tuple[float, int]:
    """The largest change of a weight in proportion to its layer's norm, and the gradient steps."""
    clock = StepClock()
    updates = edit(work.shadow(), work.facts, work.preset, work.priors(), work.contexts, observer=clock).updates
    changes = [float(torch.linalg.norm(one.left @ one.right) / work.live.weight(one.layer).norm()) for one in updates]
    return max(changes), clock.gradient_steps


def test_a_still_workload_takes_the_same_steps_and_hardly_moves() -> None:
    work = random_workload("tiny-gpt2", 4).with_settings(v_num_grad_steps=4)
    change, steps = edited(work)
    still, still_steps = edited(work.stilled(STILL))
    assert change > 1e-5
    assert 0 < still < 1e-5 * change
    assert still_steps == steps == 4 * 3 * 2

"""What a gradient step must do, against what the engine is seen to do."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.flops import StepCost, mean_step_cost, necessary_flops
from benchmarks.step_clock import Pass, StepClock
from benchmarks.workload import Workload, random_workload
from workers.editing.batch import tokenise_batch
from workers.editing.editor import edit


def done_by(work: Workload, steps: int) -> int:
    """FLOPs of an edit's matrix products, counted as they are done."""
    chosen = work.with_settings(v_num_grad_steps=steps)
    with FlopCounterMode(display=False) as counter:
        edit(chosen.shadow(), chosen.facts, chosen.preset, chosen.priors(), chosen.contexts)
    return int(counter.get_total_flops())


@pytest.mark.parametrize("shape", ["tiny-gpt2", "tiny-llama"])
def test_a_pass_does_what_is_necessary_and_little_more(shape: str) -> None:
    work = random_workload(shape, 3)
    work.live.model.set_attn_implementation("eager")  # its products are counted
    facts = tokenise_batch(work.live, work.facts, work.contexts)
    costs = [mean_step_cost(work.live, facts, layer) for layer in work.layers]
    necessary = len(facts) * sum(cost.forward + cost.backward for cost in costs)
    done = done_by(work, 4) - done_by(work, 3)
    assert necessary <= done <= 1.1 * necessary


def test_a_fact_that_is_done_is_no_longer_counted() -> None:
    costs = {0: StepCost(forward=3.0, backward=5.0)}
    passes = [Pass(0, 4, 4, None), Pass(0, 4, 2, 1.0), Pass(0, 2, 0, 1.0)]
    assert necessary_flops(costs, passes) == 4 * 3 + 2 * 5 + 2 * 3


class TestStepClock:
    def test_passes_are_told_apart_by_layer_and_chunk(self) -> None:
        """Five facts in chunks of three and two at layer 1, all at once at layer 4; one is done at its second pass."""
        clock = StepClock()
        for layer, step, done in [(1, 1, 0), (1, 2, 1), (1, 3, 1), (1, 1, 3), (1, 2, 3), (4, 1, 0), (4, 2, 0)]:
            clock.targets(layer, step, 3, 1.0, done, 5)
        found = [(one.layer, one.before, one.after, one.seconds is None) for one in clock.passes()]
        assert found == [
            (1, 3, 3, True),
            (1, 3, 2, False),
            (1, 2, 2, False),
            (1, 2, 2, True),
            (1, 2, 2, False),
            (4, 5, 5, True),
            (4, 5, 5, False),
        ]
        assert clock.gradient_steps == 3 + 2 + 2 + 2 + 2 + 5 + 5

    def test_the_deadline_ends_an_edit(self) -> None:
        work = random_workload("tiny-gpt2", 1)
        with pytest.raises(TimeoutError):
            edit(work.shadow(), work.facts, work.preset, work.priors(), work.contexts, observer=StepClock(0.0))


def test_random_weights_stand_where_training_would_begin() -> None:
    """Not zero and not NaN: a model whose layers give nothing would be edited faster."""
    weight = random_workload("tiny-llama", 1).live.weight(1)
    assert float(weight.std()) == pytest.approx(0.02, rel=0.1)
    assert bool(torch.isfinite(weight).all())

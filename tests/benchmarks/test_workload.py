"""Whether a random model makes a fact cost as many steps in any batch, however much it was edited before."""

from __future__ import annotations

import json

import pytest

from benchmarks.shapes import SHAPES
from benchmarks.step_clock import StepClock
from benchmarks.workload import random_workload
from tests.support.editing.sequence import grown
from workers.editing.editor import edit
from workers.models import bundled

STEPS, LAYERS = 4, 2


@pytest.mark.parametrize("size", [2, 8])
def test_no_fact_on_a_random_model_leaves_early(size: int) -> None:
    work = random_workload("tiny-gpt2", 16).with_settings(v_num_grad_steps=STEPS)
    priors, shadow, taken = work.priors(), work.shadow(), []
    for start in range(0, len(work.facts), size):
        clock = StepClock()
        batch = work.facts[start : start + size]
        priors = grown(priors, edit(shadow, batch, work.preset, priors, work.contexts, observer=clock).updates)
        taken.append(clock.gradient_steps)
    assert taken == [size * (STEPS - 1) * LAYERS] * (len(work.facts) // size)


def test_gpt2_mini_has_the_shape_of_the_bundled_model() -> None:
    bundled_one = json.loads((bundled("atlas-gpt2") / "config.json").read_text(encoding="utf-8"))
    mini = SHAPES["gpt2-mini"]().to_dict()
    names = ("vocab_size", "n_positions", "n_embd", "n_inner", "n_layer", "n_head")
    assert {name: mini[name] for name in names} == {name: bundled_one[name] for name in names}

"""How many optimisation steps a layer's targets take once the layers before it are written (§4.3, table 1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from statistics import mean

from workers.experiments.analyses.residuals import Residuals, residual_at
from workers.experiments.analyses.workbench import Workbench
from workers.experiments.answers import Kept
from workers.experiments.sequence import Heard


class Steps(Kept):
    """By layer, of each fact, gradient steps: until its loss was below 0.05, at most ``most``.

    in_sequence: every critical layer is written with a residual of its own before the next one's is computed.
    unedited: at the same layer of the unedited model.
    """

    most: int
    in_sequence: Mapping[int, tuple[int, ...]]
    unedited: Mapping[int, tuple[int, ...]]

    @property
    def means(self) -> dict[int, float]:
        """Of ``in_sequence``, over facts: the paper's table."""
        return {layer: mean(steps) for layer, steps in self.in_sequence.items()}


def steps(bench: Workbench, residuals: Residuals, heard: Heard) -> Steps:
    """Residuals computed and written at all critical layers, first to last; every batch begins from unedited weights.

    Raises:
        JobFailed: a solve has no answer. NonFiniteUpdate: NaN or infinity on the way.
    """
    first, *later = bench.layers
    found: dict[int, list[int]] = defaultdict(list)
    for part in bench.batches():
        shadow = bench.live.shadow(bench.layers)
        found[first] += residuals.steps[first][part].tolist()
        bench.write(shadow, first, part, residuals.computed[first][:, part])
        for layer in later:
            heard(f"steps are counted at layer {layer}")
            residual, taken = residual_at(bench, shadow, layer, part)
            found[layer] += taken.tolist()
            bench.write(shadow, layer, part, residual)
    return Steps(
        most=bench.preset.v_num_grad_steps - 1,
        in_sequence={layer: tuple(taken) for layer, taken in found.items()},
        unedited={layer: tuple(taken.tolist()) for layer, taken in residuals.steps.items()},
    )

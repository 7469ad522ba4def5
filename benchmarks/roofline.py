"""How much of the machine the target steps use: the matrix products that they must do, over the measured peak.

The products are counted from lengths and shapes (``flops``), for the facts that are still running. Time is that from
pass to pass, with all that the engine does between; a chunk's first pass, which prepares it, is left out on both sides.
What share of a whole edit these steps are stands in the last column.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.flops import mean_step_cost, necessary_flops
from benchmarks.machine import machine, matmul_peak
from benchmarks.named_workload import named_workload
from benchmarks.report import Bound, Report, shown
from benchmarks.step_clock import StepClock
from benchmarks.workload import Workload
from workers.editing.batch import tokenise_batch
from workers.editing.editor import edit
from workers.models import NAMES

MODELS = (*NAMES, "gpt2-small")
FRACTION = 0.60
"""Of the peak, on the random model; the bundled models' narrow matrices are reported without a bound."""
PEAK_SIZES = (1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class Row:
    """One batch, strict; the repeat of median fraction. ``steps`` counts each fact's own. ``peak`` in GFLOP/s."""

    model: str = field(metadata=shown("model"))
    facts: int = field(metadata=shown("facts"))
    steps: int = field(metadata=shown("gradient steps", ","))
    gflop: float = field(metadata=shown("GFLOP", ",.1f"))
    seconds: float = field(metadata=shown("seconds", ".2f"))
    peak: float = field(metadata=shown("peak GFLOP/s", ",.1f"))
    fraction: float = field(metadata=shown("of peak", ".1%"))
    share_of_edit: float = field(metadata=shown("of the edit", ".0%"))


def measure(work: Workload, peak: float, repeats: int) -> Row:
    """Edit all of the workload's facts on fresh shadows. peak: FLOP/s."""
    priors = work.priors()
    edit(work.shadow(), work.facts[:2], work.preset, priors, work.contexts, strict=True)  # warm
    facts = tokenise_batch(work.live, work.facts, work.contexts)
    costs = {layer: mean_step_cost(work.live, facts, layer) for layer in range(work.live.depth)}
    rows = []
    for _ in range(repeats):
        shadow, clock, start = work.shadow(), StepClock(), time.perf_counter()
        edit(shadow, work.facts, work.preset, priors, work.contexts, strict=True, observer=clock)
        whole, steps, flops = time.perf_counter() - start, clock.gradient_steps, necessary_flops(costs, clock.passes())
        fraction = flops / clock.seconds / peak
        seconds, share = clock.seconds, clock.seconds / whole
        rows.append(Row(work.name, len(facts), steps, flops / 1e9, seconds, peak / 1e9, fraction, share))
    middle = statistics.median_low(row.fraction for row in rows)
    return next(row for row in rows if row.fraction == middle)


def bounds(rows: Sequence[Row]) -> list[Bound]:
    """One bound for each random model; the bundled ones have none."""
    random_rows = [row for row in rows if row.model not in NAMES]
    return [Bound(f"{row.model}, fraction of peak", row.fraction, FRACTION, at_least=True) for row in random_rows]


def run(
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Bundled model, or shape of a random one.")
    ] = None,
    facts: Annotated[int, typer.Option(help="Facts in a bundled model's batch.")] = 100,
    random_facts: Annotated[int, typer.Option(help="Facts in a random model's batch.")] = 20,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    steps: Annotated[int | None, typer.Option(help="Gradient steps; the preset's if left out.")] = None,
    peak_sizes: Annotated[list[int] | None, typer.Option("--peak-size", help="Width of the peak's matrices.")] = None,
    seed: Annotated[int, typer.Option()] = 0,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Measure the peak, then edit a batch of each model."""
    peak, rows = matmul_peak("cpu", torch.float32, peak_sizes or PEAK_SIZES), []
    for name in models or MODELS:
        work = named_workload(name, facts if name in NAMES else random_facts, seed=seed, steps=steps)
        rows.append(measure(work, peak, repeats))
    settings = {"dtype": "float32", "plan": "boundary", "repeats": repeats, "seed": seed}
    report = Report("roofline", machine(), settings, rows, bounds(rows))
    raise typer.Exit(report.finish(json_file, check=check))


if __name__ == "__main__":
    typer.run(run)

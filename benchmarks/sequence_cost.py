"""Whether the last batch of a sequence costs more than the first: what K_p grows by must not slow the service down.

One fact a subject, so that no batch has more to optimise than its own. Prompts are not equally long, so every second
run exchanges the first batch with the last: over two runs the same facts stand at both ends. The model is a random one
of a bundled model's shape, on which each fact takes all its gradient steps, early or late. A bundled one (``--model``)
that has been given 1,000 facts holds few of them and takes more steps for any new one, which is the model's doing, not
K_p's. The table has the steps, and the seconds of what K_p takes part in alone: taking a batch's keys in, and a solve.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.machine import machine
from benchmarks.named_workload import named_workload
from benchmarks.report import Bound, Report, shown
from benchmarks.step_clock import StepClock
from benchmarks.workload import Workload
from workers.editing.editor import edit
from workers.editing.methods.memit import right_factor
from workers.editing.types import Fact, Priors

SLOWER = 1.3
SHOWN_EVERY = 10
MOST = 5_000
"""More facts than a bundled model has."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One batch in one run. ``solve_s``: see ``solve_seconds``."""

    seconds: float
    solve_s: float
    steps: int
    previous_keys: int


@dataclass(frozen=True, slots=True)
class Row:
    """A batch by its place in the sequence; medians over the runs. ``steps`` counts each fact's own."""

    model: str = field(metadata=shown("model"))
    batch: int = field(metadata=shown("batch"))
    previous_keys: int = field(metadata=shown("previous keys", ","))
    seconds: float = field(metadata=shown("seconds", ".3f"))
    steps: float = field(metadata=shown("gradient steps", ",.0f"))
    per_step_ms: float = field(metadata=shown("ms/step", ".3f"))
    solve_s: float = field(metadata=shown("solves s", ".4f"))


def one_run(work: Workload, batches: Sequence[Sequence[Fact]]) -> list[Sample]:
    """Edit batch after batch."""
    priors = work.priors()
    edit(work.shadow(), batches[0][:2], work.preset, priors, work.contexts)  # warm, and C's factor is made
    shadow, samples = work.shadow(), []
    for number, batch in enumerate(batches):
        clock, start = StepClock(), time.perf_counter()
        updates = edit(shadow, batch, work.preset, priors, work.contexts, observer=clock).updates
        after = dict(priors)
        for update in updates:
            prior = priors[update.layer]
            after[update.layer] = prior.with_previous_keys(prior.previous_keys.append(update.keys))
        seconds = time.perf_counter() - start
        keys = {update.layer: update.keys for update in updates}
        samples.append(Sample(seconds, solve_seconds(work, keys, priors), clock.gradient_steps, number * len(batch)))
        priors = after
    return samples


def solve_seconds(work: Workload, keys: dict[int, torch.Tensor], priors: Priors) -> float:
    """Taking these keys (d_in, n) into K_p at all layers, and solving for as many; the priors stay as they are."""
    start = time.perf_counter()
    for layer, columns in keys.items():
        grown_keys = priors[layer].previous_keys.append(columns)
        right_factor(columns, priors[layer].with_previous_keys(grown_keys), work.preset)
    return time.perf_counter() - start


def measure(work: Workload, batches: int, size: int, runs: int) -> list[Row]:
    """All runs of a model; one row a batch."""
    cut = [work.facts[start : start + size] for start in range(0, batches * size, size)]
    samples = []
    for run in range(runs):
        order = [cut[-1], *cut[1:-1], cut[0]] if run % 2 else cut
        samples.append(one_run(work, order))
    return [_row(work.name, number, at) for number, at in enumerate(zip(*samples, strict=True), start=1)]


def _row(model: str, batch: int, samples: Sequence[Sample]) -> Row:
    seconds, solve_s, steps = (
        statistics.median(getattr(sample, name) for sample in samples) for name in ("seconds", "solve_s", "steps")
    )
    per_step_ms = 1000 * statistics.median(sample.seconds / max(sample.steps, 1) for sample in samples)
    return Row(model, batch, samples[0].previous_keys, seconds, steps, per_step_ms, solve_s)


def bounds(rows: Sequence[Row]) -> list[Bound]:
    """The last batch of each model against its first."""
    found = []
    for model in dict.fromkeys(row.model for row in rows):
        own = [row for row in rows if row.model == model]
        slower = own[-1].seconds / own[0].seconds
        found.append(Bound(f"{model}, batch {own[-1].batch} over batch {own[0].batch}", slower, SLOWER))
    return found


def one_a_subject(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """The first fact about each subject."""
    first: dict[str, Fact] = {}
    for fact in facts:
        first.setdefault(fact.subject, fact)
    return tuple(first.values())


def run(
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Bundled model, or shape of a random one.")
    ] = None,
    batches: Annotated[int, typer.Option(min=2)] = 50,
    size: Annotated[int, typer.Option(min=1, help="Facts in a batch.")] = 20,
    runs: Annotated[int, typer.Option(min=1, help="Runs of the whole sequence; an even number is fair.")] = 2,
    steps: Annotated[int | None, typer.Option(help="Gradient steps; the preset's if left out.")] = None,
    seed: Annotated[int, typer.Option()] = 0,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Edit a long sequence of batches and hold its ends against each other."""
    rows = []
    for name in models or ["gpt2-mini"]:
        work = named_workload(name, MOST, seed=seed, steps=steps)
        measured = measure(replace(work, facts=one_a_subject(work.facts)), batches, size, runs)
        rows += [row for row in measured if row.batch in (1, batches) or row.batch % SHOWN_EVERY == 0]
    settings = {"dtype": "float32", "plan": "boundary", "runs": runs, "size": size, "seed": seed}
    report = Report("sequence_cost", machine(), settings, rows, bounds(rows))
    raise typer.Exit(report.finish(json_file, check=check))


if __name__ == "__main__":
    typer.run(run)

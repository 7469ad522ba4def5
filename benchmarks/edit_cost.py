"""How time and peak memory of an edit grow with the facts in its batch: micro-batches bound them.

Each size runs in a process of its own, so that its peak (the process's largest resident set, model and all) is its own.
All sizes take the same facts, cut into batches of that size, up to a number of batches. A machine is not equally fast
from one minute to the next: one half of a smaller size's batches runs before the larger sizes, the other half after.

A fact should take as many gradient steps in any batch, so that the size is all that differs: the model is a random one
of a bundled model's shape, on which each takes all its steps. A bundled model (``--model``) can hold one or two hundred
facts; of 1,000 at once, the first layer's update would leave the second layer more steps for each, which is the model's
doing. Edits are strict: facts that share a key would go on until the last is done, and a larger batch has more of them.

The rows under other caps (``max_batch_tokens``) show what memory is traded for; the bounds are on the preset's cap.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.machine import machine
from benchmarks.named_workload import named_workload
from benchmarks.report import Bound, Report, shown
from benchmarks.step_clock import StepClock
from workers.editing.editor import edit
from workers.editing.statistics import load_statistics, save_statistics

SLOWER, LARGER = 1.1, 1.3
SMALL, LARGE = 100, 1000
"""Facts in the two batches that are compared."""


@dataclass(frozen=True, slots=True)
class Row:
    """One size under one cap. ``loaded_mb`` is the peak before the first edit, ``peak_mb`` that after the last."""

    model: str = field(metadata=shown("model"))
    cap: int = field(metadata=shown("tokens at once", ","))
    facts: int = field(metadata=shown("facts", ","))
    batches: int = field(metadata=shown("batches"))
    steps_per_fact: float = field(metadata=shown("steps/fact", ".1f"))
    seconds_per_fact: float = field(metadata=shown("s/fact", ".4f"))
    loaded_mb: float = field(metadata=shown("loaded MB", ",.0f"))
    peak_mb: float = field(metadata=shown("peak MB", ",.0f"))


@dataclass(frozen=True, slots=True)
class Case:
    """What one process measures: so many batches of so many facts, from the ``first`` on.

    cap, steps: the preset's if None.
    """

    model: str
    facts: int
    batches: int
    moments: str
    seed: int
    cap: int | None = None
    steps: int | None = None
    first: int = 0

    def halves(self) -> tuple[Case, Case]:
        """The same batches, in two parts."""
        half = self.batches // 2
        return replace(self, batches=half), replace(self, first=self.first + half, batches=self.batches - half)


def measure(case: Case) -> Row:
    """Edit the batches, each on a fresh shadow, after a warm-up of two facts. For a process of its own."""
    moments = load_statistics(Path(case.moments))
    end = case.facts * (case.first + case.batches)
    work = named_workload(case.model, end, seed=case.seed, steps=case.steps, statistics=moments)
    if case.cap is not None:
        work = work.with_settings(max_batch_tokens=case.cap)
    priors = work.priors()
    edit(work.shadow(), work.facts[:2], work.preset, priors, work.contexts, strict=True)
    loaded, seconds, steps = _peak_mb(), 0.0, 0
    starts = range(case.facts * case.first, len(work.facts) - case.facts + 1, case.facts)
    for start in starts:
        batch, shadow, clock = work.facts[start : start + case.facts], work.shadow(), StepClock()
        begun = time.perf_counter()
        edit(shadow, batch, work.preset, priors, work.contexts, strict=True, observer=clock)
        seconds += time.perf_counter() - begun
        steps += clock.gradient_steps
    cap, count = work.preset.max_batch_tokens, len(starts) * case.facts
    return Row(case.model, cap, case.facts, len(starts), steps / count, seconds / count, loaded, _peak_mb())


def _batches(size: int, largest: int, total: int) -> int:
    """Batches of a size: two at least of a smaller one, which runs in two parts."""
    return max(1 if size == largest else 2, min(20, total // size))


def _peak_mb() -> float:
    """The process's largest resident set so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def in_a_process(case: Case) -> Row:
    """``measure``, in a process of its own."""
    code = (
        "import json, sys; from dataclasses import asdict; from benchmarks.edit_cost import Case, measure;"
        "print(json.dumps(asdict(measure(Case(**json.loads(sys.argv[1]))))))"
    )
    command = [sys.executable, "-c", code, json.dumps(asdict(case))]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return Row(**json.loads(ended.stdout.splitlines()[-1]))


def joined(one: Row, other: Row) -> Row:
    """Two parts of a size's batches as one row."""
    batches = one.batches + other.batches

    def mean(name: str) -> float:
        parts = (part.batches * float(getattr(part, name)) for part in (one, other))
        return sum(parts) / batches

    return replace(
        one,
        batches=batches,
        steps_per_fact=mean("steps_per_fact"),
        seconds_per_fact=mean("seconds_per_fact"),
        loaded_mb=max(one.loaded_mb, other.loaded_mb),
        peak_mb=max(one.peak_mb, other.peak_mb),
    )


def all_sizes(cases: Sequence[Case]) -> list[Row]:
    """One row for each case, by size; run from the smallest to the largest and back, each smaller one in two halves."""
    *smaller, largest = cases
    halves = [case.halves() for case in smaller]
    before = [in_a_process(half) for half, _ in halves]
    whole = in_a_process(largest)
    after = [in_a_process(half) for _, half in reversed(halves)]
    return [*(joined(one, other) for one, other in zip(before, reversed(after), strict=True)), whole]


def bounds(rows: Sequence[Row]) -> list[Bound]:
    """The large batch against the small one, model by model, under the preset's cap (each model's first rows)."""
    found = []
    for model in dict.fromkeys(row.model for row in rows):
        own = [row for row in rows if row.model == model]
        by_size = {row.facts: row for row in own if row.cap == own[0].cap}
        if SMALL in by_size and LARGE in by_size:
            small, large = by_size[SMALL], by_size[LARGE]
            slower = large.seconds_per_fact / small.seconds_per_fact
            found.append(Bound(f"{model}, time per fact at {LARGE:,} over {SMALL}", slower, SLOWER))
            found.append(
                Bound(f"{model}, peak memory at {LARGE:,} over {SMALL}", large.peak_mb / small.peak_mb, LARGER)
            )
    return found


def run(
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Bundled model, or shape of a random one.")
    ] = None,
    sizes: Annotated[list[int] | None, typer.Option("--size", help="Facts in a batch.")] = None,
    caps: Annotated[list[int] | None, typer.Option("--cap", help="Another cap, for the largest size.")] = None,
    total: Annotated[int, typer.Option(help="Facts edited at each size; at most twenty batches.")] = 1000,
    steps: Annotated[int | None, typer.Option(help="Gradient steps; the preset's if left out.")] = None,
    seed: Annotated[int, typer.Option()] = 0,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Edit batches of growing size, and one of the largest under other caps."""
    chosen, rows = sorted(sizes or [10, SMALL, LARGE]), []
    with tempfile.TemporaryDirectory() as scratch:
        for model in models or ["gpt2-mini"]:
            moments = Path(scratch) / f"{model}.safetensors"
            save_statistics(named_workload(model, 0, seed=seed).statistics, moments)
            cases = [
                Case(model, size, _batches(size, chosen[-1], total), str(moments), seed, None, steps) for size in chosen
            ]
            rows += all_sizes(cases)
            rows += [in_a_process(replace(cases[-1], batches=1, cap=cap)) for cap in caps or []]
    settings = {"dtype": "float32", "plan": "boundary", "seed": seed}
    report = Report("edit_cost", machine(), settings, rows, bounds(rows))
    raise typer.Exit(report.finish(json_file, check=check))


if __name__ == "__main__":
    typer.run(run)

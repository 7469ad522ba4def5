"""How much faster the engine edits a batch than the plain reference editor, which takes the paper literally.

Both sides edit the same facts under the same settings, with as many gradient steps, and stop early by one rule; the
engine under ``strict``, so that it optimises no facts together. Timed is all of an edit: targets, keys, solve, weights
changed, and keys once more for K_p. Loading, statistics and what is made once per model are not. The plain editor takes
one fact at a time, whole prompts through all layers, and all logits.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from benchmarks.machine import machine
from benchmarks.named_workload import named_workload
from benchmarks.report import Bound, Report, shown
from benchmarks.workload import Workload
from tests.support.reference.plain_editor import PlainModel, PlainSettings, edit_plainly
from workers.editing.editor import edit
from workers.editing.model.anatomy import locate
from workers.editing.types import Fact, Priors
from workers.models import NAMES

MODELS = (*NAMES, "gpt2-small")
TIMES_BUNDLED, TIMES_RANDOM = 7.0, 8.0
DIFFERENCE = 1e-4


@dataclass(frozen=True, slots=True)
class Row:
    """Medians. ``difference`` is the largest of any layer's update, relative to the plain editor's (Frobenius)."""

    model: str = field(metadata=shown("model"))
    facts: int = field(metadata=shown("facts"))
    engine_s: float = field(metadata=shown("engine s/fact", ".3f"))
    plain_facts: int = field(metadata=shown("plain facts"))
    plain_s: float = field(metadata=shown("plain s/fact", ".3f"))
    times: float = field(metadata=shown("times", ".1f"))
    difference: float = field(metadata=shown("updates differ", ".1e"))


def by_engine(work: Workload, priors: Priors, facts: Sequence[Fact]) -> tuple[float, dict[int, Tensor]]:
    """Seconds, and each layer's update (d_out, d_in)."""
    shadow = work.shadow()
    start = time.perf_counter()
    edited = edit(shadow, facts, work.preset, priors, work.contexts, strict=True)
    seconds = time.perf_counter() - start
    return seconds, {update.layer: update.dense for update in edited.updates}


def by_plain_editor(work: Workload, facts: Sequence[Fact]) -> tuple[float, dict[int, Tensor]]:
    """The same by the plain editor, on a copy of the model."""
    model = copy.deepcopy(work.live.model)
    anatomy = locate(model)
    projections = [model.get_submodule(name) for name in anatomy.projections]
    plain = PlainModel(
        model, work.live.tokenizer, anatomy.blocks, projections, conv1d=isinstance(projections[0], Conv1D)
    )
    settings = PlainSettings(**{name: getattr(work.preset, name) for name in PlainSettings.__dataclass_fields__})
    batch = [(fact.subject, fact.prompt, fact.object) for fact in facts]
    start = time.perf_counter()
    history = edit_plainly(plain, [batch], settings, work.contexts, work.statistics.second_moments)
    return time.perf_counter() - start, history[0]


def measure(work: Workload, *, plain_facts: int, repeats: int, plain_repeats: int) -> Row:
    """Edit all of the workload's facts; the plain editor its first ``plain_facts``. The two sides take turns."""
    facts, fewer = work.facts, work.facts[:plain_facts]
    priors = work.priors()
    by_engine(work, priors, facts[:2])  # warm, and C's factor is made
    engine, plain = [], []
    for turn in range(repeats):
        seconds, found = by_engine(work, priors, facts)
        engine.append(seconds / len(facts))
        if turn < plain_repeats:
            seconds, expected = by_plain_editor(work, fewer)
            plain.append(seconds / len(fewer))
    if len(fewer) < len(facts):
        _, found = by_engine(work, priors, fewer)
    difference = max(float((found[i] - expected[i]).norm() / expected[i].norm()) for i in expected)
    engine_s, plain_s = statistics.median(engine), statistics.median(plain)
    return Row(work.name, len(facts), engine_s, len(fewer), plain_s, plain_s / engine_s, difference)


def bounds(rows: Sequence[Row]) -> list[Bound]:
    """Speed, by what kind of model it is, and agreement."""
    return [
        bound
        for row in rows
        for bound in (
            Bound(f"{row.model}, times faster", row.times, _least(row.model), at_least=True),
            Bound(f"{row.model}, updates differ by", row.difference, DIFFERENCE),
        )
    ]


def _least(model: str) -> float:
    return TIMES_BUNDLED if model in NAMES else TIMES_RANDOM


def run(
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Bundled model, or shape of a random one.")
    ] = None,
    facts: Annotated[int, typer.Option(help="Facts in a bundled model's batch.")] = 100,
    random_facts: Annotated[int, typer.Option(help="Facts in a random model's batch.")] = 20,
    plain_facts: Annotated[int | None, typer.Option(help="So many for the plain editor; all if left out.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of the engine.")] = 3,
    plain_repeats: Annotated[int, typer.Option(min=1, help="Runs of the plain editor.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Gradient steps; the preset's if left out.")] = None,
    seed: Annotated[int, typer.Option()] = 0,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Edit a batch by the engine and by the plain reference editor."""
    rows = []
    for name in models or MODELS:
        work = named_workload(name, facts if name in NAMES else random_facts, seed=seed, steps=steps)
        fewer = min(plain_facts or len(work.facts), len(work.facts))
        rows.append(measure(work, plain_facts=fewer, repeats=repeats, plain_repeats=min(plain_repeats, repeats)))
    settings = {
        "dtype": "float32",
        "plan": "boundary",
        "repeats": repeats,
        "plain_repeats": plain_repeats,
        "seed": seed,
    }
    report = Report("edit_speed", machine(), settings, rows, bounds(rows))
    raise typer.Exit(report.finish(json_file, check=check))


if __name__ == "__main__":
    typer.run(run)

"""What a sequence of edits must leave of a real model: many facts in batches, and as many one at a time.

Each part is a run of `palimpsest evaluate` in a folder, which goes on where it was stopped. Bounds are those of the
default, as a model is served; the facts are not those that any default was chosen on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from app.domain.settings import DATA_DIR
from benchmarks.machine import machine
from benchmarks.report import Bound, Report, shown
from workers.commands.options import OneDevice
from workers.experiments.cases import DataSet
from workers.experiments.evaluation import Evaluation
from workers.experiments.run_folder import Checkpoint, RunFolder, Wanted
from workers.experiments.summary import Part, Share, Summary

FACTS = Path(__file__).parents[2] / "shared" / "data" / "counterfact-easyedit-300.json"
BATCHED, SINGLE = "batched", "single"
BATCH_SIZES = {BATCHED: 20, SINGLE: 1}
FIRST = 100
"""The first facts of a sequence, which have the most written after them."""


@dataclass(frozen=True)
class Row:
    """All facts so far: by comparison, and to the token."""

    part: str = field(metadata=shown("part"))
    facts: int = field(metadata=shown("facts", "d"))
    efficacy: float = field(metadata=shown("efficacy", ".1%"))
    efficacy_exact: float = field(metadata=shown("argmax", ".1%"))
    generalisation: float = field(metadata=shown("generalisation", ".1%"))
    generalisation_exact: float = field(metadata=shown("argmax", ".1%"))
    specificity: float = field(metadata=shown("specificity", ".1%"))
    kl: float | None = field(metadata=shown("KL", ".3f"))
    perplexity: float | None = field(metadata=shown("perplexity, times", ".3f"))


def row_of(part: str, facts: int, found: Summary, last: Checkpoint | None) -> Row:
    """From a summary; of the unedited model there is no checkpoint."""
    drift = None if last is None else last.drift
    return Row(
        part,
        facts,
        _success(found.efficacy).mean,
        found.efficacy.exact.mean,
        _success(found.generalisation).mean,
        0.0 if found.generalisation is None else found.generalisation.exact.mean,
        _success(found.specificity).mean,
        None if drift is None else drift.kl,
        None if drift is None else drift.perplexity,
    )


def _success(part: Part | None) -> Share:
    assert part is not None
    assert part.success is not None
    return part.success


def bounds(part: str, unedited: Row, last: Row, first: float) -> list[Bound]:
    """What the row of all facts must reach. first: efficacy of the first ``FIRST`` facts after all others."""
    perplexity = float("nan") if last.perplexity is None else last.perplexity
    if part == SINGLE:
        return [
            Bound("one at a time: efficacy", last.efficacy, 0.95, at_least=True),
            Bound("one at a time: perplexity, times the unedited model's", perplexity, 1.15),
        ]
    return [
        Bound("efficacy", last.efficacy, 0.99, at_least=True),
        Bound("efficacy, argmax", last.efficacy_exact, 0.97, at_least=True),
        Bound("generalisation", last.generalisation, 0.94, at_least=True),
        Bound("generalisation, argmax", last.generalisation_exact, 0.40, at_least=True),
        Bound("specificity under the unedited model's", round(unedited.specificity - last.specificity, 9), 0.02),
        Bound(f"efficacy of the first {FIRST} facts", first, 0.98, at_least=True),
        Bound("perplexity, times the unedited model's", perplexity, 1.10),
    ]


def measured(
    part: str, model: str, data: DataSet, facts: int, folder: Path, device: str, data_dir: Path
) -> tuple[list[Row], list[Bound]]:
    """One part, from where it was stopped."""
    wanted = Wanted(
        model=model,
        dataset=data.name,
        digest=data.digest,
        facts=facts,
        batch=BATCH_SIZES[part],
        every=FIRST,
        spoken=30,
    )
    run = RunFolder(folder / part)
    run.begin(wanted)
    run.take_unedited(RunFolder(folder / other) for other in BATCH_SIZES)
    Evaluation(run, wanted, data).run(device, data_dir, lambda line: typer.echo(line, err=True))
    unedited, last = run.unedited, run.last_checkpoint
    assert unedited is not None
    assert last is not None
    before = unedited.plain[: last.facts]
    rows = [row_of("unedited", last.facts, Summary.of(before, before), None)]
    looks = (run.checkpoint(min(count, last.facts)) for count in range(FIRST, last.facts + FIRST, FIRST))
    rows += [row_of(part, found.facts, found.summary, found) for found in looks if found is not None]
    oldest = Summary.of(last.answers[:FIRST], unedited.plain[:FIRST])
    return rows, bounds(part, rows[0], rows[-1], _success(oldest.efficacy).mean)


def run(
    model: Annotated[str, typer.Option(help="Any model.")] = "smollm2",
    facts: Annotated[Path, typer.Option(help="CounterFact, in any of its forms.")] = FACTS,
    most: Annotated[int, typer.Option(help="So many facts of it.")] = 300,
    parts: Annotated[list[str] | None, typer.Option("--part", help=f"{BATCHED} or {SINGLE}; both if left out.")] = None,
    folder: Annotated[Path, typer.Option(help="Of the runs.")] = Path("runs") / "yardsticks",
    device: OneDevice = "cpu",
    data_dir: Annotated[Path, typer.Option(help="Where statistics and presets are kept.")] = DATA_DIR,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Edit facts in batches, and one at a time, and hold what is left against the bounds."""
    data, rows, limits = DataSet.read(str(facts)), list[Row](), list[Bound]()
    chosen: Sequence[str] = parts or (BATCHED, SINGLE)
    for part in chosen:
        more, missed = measured(part, model, data, most, folder, device, data_dir)
        rows += more
        limits += missed
    settings = {"model": model, "facts": most, "parts": list(chosen)}
    raise typer.Exit(Report("yardsticks", machine(device), settings, rows, limits).finish(json_file, check=check))


if __name__ == "__main__":
    typer.run(run)

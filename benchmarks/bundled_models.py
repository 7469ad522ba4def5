"""What onboarding finds on the bundled models, whose presets were tuned by hand, beside those presets.

Both write the same facts, which the search has not seen, in one run. What onboarding is told is the model alone.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.machine import machine
from benchmarks.report import Bound, Report, shown
from workers.editing.presets import known_preset
from workers.editing.priors import PriorSource
from workers.editing.statistics import fingerprint
from workers.host.statistics_store import find_statistics
from workers.models import bundled
from workers.onboard import PROMISED, SEARCHED, Onboarding
from workers.onboarding.trial import Bench, Outcome, known_to
from workers.onboarding.world_facts import world_facts

MODELS = ("atlas-gpt2", "atlas-llama")
POINTS = 0.03
"""So much the found preset's harmonic mean may lie under the shipped one's."""


@dataclass(frozen=True)
class Row:
    """One preset of one model, on the facts that judge."""

    model: str = field(metadata=shown("model"))
    preset: str = field(metadata=shown("preset"))
    facts: int = field(metadata=shown("facts", "d"))
    hold: float = field(metadata=shown("hold", ".1%"))
    paraphrases: float = field(metadata=shown("paraphrases", ".1%"))
    neighbours: float = field(metadata=shown("known neighbours stay", ".1%"))
    score: float = field(metadata=shown("harmonic mean", ".1%"))
    seconds: float = field(metadata=shown("s a fact", ".2f"))


def run(
    facts: Annotated[int, typer.Option(help="To edit with either preset.", min=1)] = 60,
    minutes: Annotated[float, typer.Option(help="For each search.")] = 3.0,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Onboard the bundled models as if nobody knew them."""
    rows: list[Row] = []
    bounds: list[Bound] = []
    notes: list[str] = []
    for name in MODELS:
        with tempfile.TemporaryDirectory() as scratch:
            found, note = measured(name, Path(scratch), facts, minutes)
        rows += found
        notes.append(note)
        bounds.append(Bound(f"{name}: points under the shipped preset", found[0].score - found[1].score, POINTS))
        typer.echo(str(found), err=True)
    report = Report("bundled_models", machine(), {"facts": facts, "minutes": minutes}, rows, bounds, notes)
    raise typer.Exit(report.finish(json_file, check=check))


def measured(name: str, scratch: Path, facts: int, minutes: float) -> tuple[list[Row], str]:
    """The shipped preset's row and the found one's, and what was found."""
    opened = Onboarding.open(str(bundled(name)), data_dir=scratch)
    found = opened.run(minutes=minutes, anew=True)
    shipped = known_preset(opened.source, fingerprint(opened.live))
    assert shipped is not None
    judged = known_to(opened.live, world_facts())[SEARCHED + PROMISED :][:facts]
    rows = []
    for label, preset in (("shipped", shipped), ("found", found.preset)):
        statistics = find_statistics(opened.live, opened.source, preset.layers, scratch / label, None)
        contexts = opened.contexts
        bench = Bench(opened.live, PriorSource(opened.live, statistics, contexts), contexts, tuple(judged))
        rows.append(_row(name, label, len(judged), bench.run(preset)))
    return rows, f"{name}: onboarded in {found.seconds:.0f} s: {found.preset.as_dict()}"


def _row(name: str, label: str, facts: int, found: Outcome) -> Row:
    return Row(name, label, facts, found.hold, found.paraphrases, found.neighbours, found.score, found.seconds)


if __name__ == "__main__":
    typer.run(run)

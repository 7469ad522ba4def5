"""What teaching a paraphrase costs: the same CounterFact facts without it and with it, as the model's preset has them.

The taught paraphrase is the one that generalisation is asked by, so that figure says here whether it was learnt.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.counterfact import Record, log_probabilities, records, scores, taught
from benchmarks.machine import machine
from benchmarks.real_model import FACTS, HELD_OUT, Row, Way, row_of
from benchmarks.report import Bound, Report
from workers.editing.contexts import contexts_of
from workers.editing.presets import choose_preset
from workers.editing.priors import PriorSource
from workers.editing.statistics import fingerprint
from workers.host.statistics_store import find_statistics, kept_texts
from workers.onboard import Onboarding

LOST = 0.05
"""Of specificity that teaching may cost: more would be told by a user's neighbours."""


def run(
    model: Annotated[str, typer.Option(help="Any model with a preset or a chat template.")] = "smollm2",
    facts: Annotated[Path, typer.Option(help="CounterFact in EasyEdit's flat form.")] = FACTS,
    first: Annotated[int, typer.Option(help="So many facts whose paraphrase names the subject once.", min=1)] = 60,
    data_dir: Annotated[Path | None, typer.Option(help="Where the model's statistics are kept.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Edit facts twice, the second time with their paraphrases taught."""
    usable = [record for record in records(facts) if taught(record).taught][:first]
    with tempfile.TemporaryDirectory() as scratch:
        report = measured(model, usable, data_dir or Path(scratch))
    raise typer.Exit(report.finish(json_file, check=check))


def measured(model: str, facts: list[Record], data_dir: Path) -> Report:
    """The whole run."""
    opened, directory = Onboarding.open(model, data_dir=data_dir), data_dir / "statistics"
    live, source = opened.live, opened.source
    preset = choose_preset(source, live.depth, None, fingerprint=fingerprint(live))
    contexts = contexts_of(live, source)
    priors = PriorSource(live, find_statistics(live, source, preset.layers, directory, None), contexts)
    texts = kept_texts(live, source, directory)[:HELD_OUT]
    before = log_probabilities(live, texts)
    rows: list[Row] = [row_of("unedited", len(facts), scores(live, facts), 0.0, 0.0)]
    offered = [replace(record, fact=taught(record)) for record in facts]
    for name, given in (("not taught", facts), ("taught", offered)):
        way = Way(name, live, preset, contexts, priors)
        way.write(given)
        rows.append(way.row(given, texts, before))
        typer.echo(str(rows[-1]), err=True)
    _, plain, told = rows
    bounds = [
        Bound("taught paraphrases that follow, argmax", told.generalisation_argmax, 0.9, at_least=True),
        Bound("specificity that teaching costs", round(plain.specificity - told.specificity, 9), LOST),
    ]
    return Report("teaching", machine(), {"model": model, "facts": len(facts)}, rows, bounds)


if __name__ == "__main__":
    typer.run(run)

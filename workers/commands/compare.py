"""`palimpsest compare`: all methods on the same facts, each with its own spread and with BLUE."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.domain.settings import DATA_DIR
from workers.commands.options import (
    BatchSize,
    DataSetOption,
    Dtype,
    ModelOption,
    MostFacts,
    OneDevice,
    Overrides,
    Policy,
    Seed,
    Spoken,
    Strict,
    UnheldOption,
    named,
    overrides,
    telling_errors,
)

EXAMPLES = (
    "palimpsest compare --model atlas-gpt2 --dataset facts.csv --facts 100 --batch 20",
    "palimpsest compare --model atlas-gpt2 --dataset facts.csv --only memit:even --only memit:boundary",
)

COMPARISONS = Path("comparisons")


def compare(
    model: ModelOption,
    dataset: DataSetOption,
    facts: MostFacts = 100,
    batch: BatchSize = 20,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="A row of the table, METHOD or METHOD:PLAN[:NAME=VALUE...]; may come more than once.", metavar="ROW"
        ),
    ] = None,
    hyperparameters: Overrides = "{}",
    strict: Strict = False,
    unheld: UnheldOption = Policy.KEEP,
    seed: Seed = None,
    spoken: Spoken = 0,
    out: Annotated[
        Path | None, typer.Option(help="The folder; a comparison that was stopped there goes on.", file_okay=False)
    ] = None,
    device: OneDevice = "cpu",
    dtype: Dtype = "float32",
    data_dir: Annotated[Path, typer.Option(help="Where statistics and presets are kept.")] = DATA_DIR,
) -> None:
    """Edit the same facts with each method: spread over all critical layers as its paper has it, and with BLUE.

    Each row is a run of `palimpsest evaluate` in a folder of its own. comparison.md and comparison.json are written
    after each. The same command again goes on where it was stopped.
    """
    console = Console(stderr=True)
    with telling_errors(console):
        from workers.experiments.cases import DataSet
        from workers.experiments.comparison import WAYS, Comparison
        from workers.experiments.run_folder import Wanted

        known = {way.name: way for way in WAYS if not (strict and way.hyperparameters.history is not None)}
        if unknown := [row for row in only or () if row not in known]:
            raise typer.BadParameter(f"{unknown[0]} is none of {', '.join(known)}", param_hint="--only")
        data = DataSet.read(dataset)
        wanted = Wanted(
            model=model,
            dataset=data.name,
            digest=data.digest,
            facts=facts,
            batch=batch,
            every=facts,
            hyperparameters=overrides(hyperparameters),
            strict=strict,
            unheld=unheld.value,
            dtype=dtype,
            seed=seed,
            spoken=spoken,
        )
        folder = out or COMPARISONS / named(model, data.name)
        ways = [way for name, way in known.items() if not only or name in only]
        table = Comparison(folder, wanted, data, ways).run(
            device, data_dir, lambda line: console.print(line, highlight=False, markup=False)
        )
    Console().print(table.as_page(), markup=False, highlight=False, soft_wrap=True)

"""`palimpsest analyse`: what becomes of a residual that is distributed over layers, as the BLUE paper analyses it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.domain.settings import DATA_DIR
from workers.commands.options import Dtype, ModelArgument, OneDevice, Overrides, named, overrides, telling_errors

EXAMPLES = (
    "palimpsest analyse atlas-gpt2 --facts facts.csv --most 10",
    "palimpsest analyse atlas-gpt2 --facts facts.csv --hyperparameters '{\"layers\": [0, 1, 2, 3]}' --out analyses/all",
)

ANALYSES = Path("analyses")
PAGE = "analysis.md"


def analyse(
    model: ModelArgument,
    facts: Annotated[
        str,
        typer.Option(
            help="A data file in any form that `palimpsest edit` reads, best with neighbours.", metavar="FILE"
        ),
    ],
    most: Annotated[int, typer.Option(help="Analyse at most so many facts: the first that can be.", min=1)] = 20,
    batch: Annotated[int | None, typer.Option(help="Edit so many together; else all of them.", min=1)] = None,
    hyperparameters: Overrides = "{}",
    out: Annotated[
        Path | None, typer.Option(help="The folder; an analysis that was stopped there goes on.", file_okay=False)
    ] = None,
    device: OneDevice = "cpu",
    dtype: Dtype = "float32",
    data_dir: Annotated[Path, typer.Option(help="Where statistics and presets are kept.")] = DATA_DIR,
) -> None:
    """Compare residuals that are computed at each critical layer with parts of the last layer's, as MEMIT spreads it.

    The folder gets analysis.md, which says of each finding of the BLUE paper whether it holds here, figures, and
    analysis.json. The same command again goes on after the last section that was done.
    """
    console = Console(stderr=True)
    with telling_errors(console):
        from workers.experiments.analyses.analysis import Analyses
        from workers.experiments.analyses.asked import Asked
        from workers.experiments.analyses.figures import draw
        from workers.experiments.analyses.page import as_page
        from workers.experiments.cases import DataSet

        data = DataSet.read(facts)
        asked = Asked(
            model=model,
            dataset=data.name,
            digest=data.digest,
            facts=most,
            batch=batch or most,
            hyperparameters=overrides(hyperparameters),
            dtype=dtype,
        )
        folder = out or ANALYSES / named(model, data.name)
        told = partial(console.print, highlight=False, markup=False)
        found = Analyses(folder, asked, data, device, data_dir, told).run()
        page = as_page(found, draw(found, folder))
        (folder / PAGE).write_text(page, encoding="utf-8")
    Console().print(page.partition("\n![")[0].strip(), markup=False, highlight=False, soft_wrap=True)
    console.print(f"All of it: {folder / PAGE}", highlight=False, markup=False, soft_wrap=True)

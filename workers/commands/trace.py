"""`palimpsest trace`: where a model recalls facts, by causal tracing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.domain.settings import DATA_DIR
from workers.commands.options import Dtype, ModelArgument, OneDevice, telling_errors

EXAMPLES = ("palimpsest trace atlas-gpt2 --facts facts.csv --most 20 --out traces/atlas",)

TRACE, PAGE, FIGURE = "trace.json", "trace.md", "trace.svg"


def trace(
    model: ModelArgument,
    facts: Annotated[
        str,
        typer.Option(help="A data file with old objects, in any form that `palimpsest edit` reads.", metavar="FILE"),
    ],
    most: Annotated[int, typer.Option(help="Look at the first so many facts for those that the model knows.")] = 100,
    samples: Annotated[int, typer.Option(help="Disturb each fact so often.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    context: Annotated[str, typer.Option(help="A text before each prompt, with the space after it.")] = "",
    out: Annotated[Path | None, typer.Option(help="A folder for the results; else traces/MODEL.")] = None,
    device: OneDevice = "cpu",
    dtype: Dtype = "float32",
    data_dir: Annotated[Path, typer.Option(help="Where converted GGUF files are kept.")] = DATA_DIR,
) -> None:
    """Disturb what a model reads of a subject, put one state back at a time, and see which brings the fact back.

    The folder gets trace.md, which names the critical layers, trace.json and a heat map.
    """
    console = Console(stderr=True)
    with telling_errors(console):
        from workers.editing.loading import load
        from workers.experiments.cases import DataSet
        from workers.experiments.tracing import draw, trace_all
        from workers.sources import source_of

        data = DataSet.read(facts)
        source = source_of(model, data_dir)
        folder = out or Path("traces") / Path(source).name
        found = trace_all(
            Path(source).name,
            data.name,
            load(source, device=device, dtype=dtype),
            data.cases[:most],
            samples=samples,
            seed=seed,
            heard=lambda line: console.print(line, highlight=False, markup=False),
            context=context,
        )
        folder.mkdir(parents=True, exist_ok=True)
        page = found.as_page(FIGURE if draw(found, folder / FIGURE) else None)
        (folder / TRACE).write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
        (folder / PAGE).write_text(page, encoding="utf-8")
    Console().print(page.partition("\n| ")[0].strip(), markup=False, highlight=False, soft_wrap=True)

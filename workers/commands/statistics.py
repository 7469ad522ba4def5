"""`palimpsest statistics`: the second moments of a model's keys, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.domain.errors import RequestError
from workers.commands.options import Corpus, Device, Dtype, ModelArgument, telling_errors, usual_data_dir

DEFAULT_SAMPLES = 10_000

EXAMPLES = (
    "palimpsest statistics atlas-gpt2 --corpus texts.txt --samples 1000 --out statistics.safetensors",
    "palimpsest statistics atlas-gpt2 --corpus texts.txt --part 1/2 --out part1.safetensors",
)


def statistics(
    model: ModelArgument,
    corpus: Corpus = None,
    out: Annotated[Path, typer.Option(help="Safetensors with layer.{i} (d_in, d_in).")] = Path(
        "statistics.safetensors"
    ),
    samples: Annotated[int, typer.Option(help="At most so many texts of the corpus.", min=1)] = DEFAULT_SAMPLES,
    max_tokens: Annotated[int | None, typer.Option(help="Stop after so many tokens.", min=1)] = None,
    part: Annotated[
        str | None,
        typer.Option(help="One of N parts of the corpus, for `palimpsest merge-statistics`.", metavar="K/N"),
    ] = None,
    layers: Annotated[str | None, typer.Option(help="Like 4,5,6; the preset's if left out.")] = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    max_batch_tokens: Annotated[int, typer.Option(help="Tokens in memory at once.", min=1)] = 4096,
) -> None:
    """Take the second moment of a model's keys in bounded memory: over a text, or over its own texts until settled."""
    console = Console(stderr=True)
    with telling_errors(console):
        from workers.editing.statistics import save_statistics
        from workers.editing.statistics_parts import Part
        from workers.statistics_run import StatisticsRun

        wanted = None if part is None else Part.of(part)
        if wanted is not None and corpus is None:
            raise RequestError("only a corpus has parts", field="part", value=part)
        run = StatisticsRun.open(model, _layers(layers), device=device, dtype=dtype, data_dir=usual_data_dir())
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("tokens", total=max_tokens)

            def progress(tokens: int) -> None:
                bar.advance(task, tokens)

            if corpus is None:
                found, kept = run.take_own(max_tokens=max_tokens, max_batch_tokens=max_batch_tokens, progress=progress)
                kept.save_beside(out)
            else:
                found = run.take(
                    corpus,
                    samples=samples,
                    part=wanted,
                    max_tokens=max_tokens,
                    max_batch_tokens=max_batch_tokens,
                    progress=progress,
                )
        save_statistics(found, out, part or "")
        how = "" if corpus else f" of its own texts, {'settled' if kept.settled else 'not settled'}"
        console.print(f"{found.tokens} tokens{how}, layers {', '.join(map(str, run.layers))}: {out}")


def _layers(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise RequestError("layers are numbers with commas between them", field="layers", value=text) from None

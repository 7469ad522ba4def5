"""`palimpsest merge-statistics`: parts that several processes took, as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from workers.commands.options import telling_errors

EXAMPLES = ("palimpsest merge-statistics part1.safetensors part2.safetensors --out statistics.safetensors",)


def merge_statistics(
    parts: Annotated[
        list[Path],
        typer.Argument(help="All that `palimpsest statistics --part K/N` wrote of one corpus.", exists=True),
    ],
    out: Annotated[Path, typer.Option(help="Safetensors with layer.{i} (d_in, d_in).")] = Path(
        "statistics.safetensors"
    ),
) -> None:
    """Make one file of statistics that were taken in parts."""
    console = Console(stderr=True)
    with telling_errors(console):
        from workers.editing.statistics import save_statistics
        from workers.editing.statistics_parts import merged, read_part

        whole = merged([read_part(path) for path in parts])
        save_statistics(whole, out)
        layers = ", ".join(map(str, sorted(whole.second_moments)))
        console.print(f"{whole.tokens} tokens of {len(parts)} parts, layers {layers}: {out}")

"""What several commands share: their arguments, where a worker would keep its files, and how an error is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.domain.errors import PalimpsestError
from app.domain.settings import SharedSettings

ModelArgument = Annotated[
    str, typer.Argument(help="Folder, hub id, GGUF file, or the name of a model that comes along.")
]
Corpus = Annotated[
    str | None,
    typer.Option(help="A text file, one text a line, or a data set as NAME[:SUBSET]; else the model writes texts."),
]
Device = Annotated[str, typer.Option(help="As torch names it.")]
Dtype = Annotated[str, typer.Option(help="float64, float32, bfloat16 or float16.")]


@contextmanager
def telling_errors(console: Console) -> Iterator[None]:
    """Show a PalimpsestError as one line, and exit with status 1."""
    try:
        yield
    except PalimpsestError as error:
        where = f" ({error.field}: {error.value!r})" if error.field else ""
        console.print(f"{error.code}: {error.detail}{where}", style="red", markup=False)
        raise typer.Exit(1) from None


def usual_data_dir() -> Path:
    """Where a worker with the same environment would keep its files."""
    return SharedSettings().data_dir

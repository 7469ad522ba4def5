"""What several commands share: their arguments, where a worker would keep its files, and how an error is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from app.domain.errors import PalimpsestError
from app.domain.settings import SharedSettings

if TYPE_CHECKING:
    from app.domain.contract import Hyperparameters
    from workers.experiments.abilities import Tasks


def one_device(device: str) -> str:
    """The device, for what was never tried on several; BadParameter if it is ``all``."""
    if device == "all":
        raise typer.BadParameter("this command has its model on one device: name it")
    return device


class Policy(StrEnum):
    """``contract.Unheld`` as an option."""

    DROP = "drop"
    KEEP = "keep"
    REJECT = "reject"


ModelArgument = Annotated[
    str, typer.Argument(help="Folder, hub id, GGUF file, or the name of a model that comes along.")
]
Corpus = Annotated[
    str | None,
    typer.Option(help="A text file, one text a line, or a data set as NAME[:SUBSET]; else the model writes texts."),
]
ModelOption = Annotated[
    str, typer.Option("--model", help="Folder, hub id, GGUF file, or the name of a model that comes along.")
]
DataSetOption = Annotated[
    str,
    typer.Option(
        "--dataset",
        help="A file as CounterFact, MultiCounterFact, MQuAKE, RippleEdits, zsRE, WikiBigEdit, UnKE, EasyEdit or "
        "KnowEdit has it, CSV or TSV; or a data set as NAME[:SUBSET] that the package datasets knows.",
    ),
]
MostFacts = Annotated[int, typer.Option("--facts", help="Edit at most so many: the first that can be.", min=1)]
BatchSize = Annotated[int, typer.Option("--batch", help="So many become a version together.", min=1)]
Overrides = Annotated[
    str, typer.Option("--hyperparameters", help="As in a request: '{\"share\": 0.5}'.", metavar="JSON")
]
Strict = Annotated[bool, typer.Option("--strict", help="Exactly the published behaviour.")]
UnheldOption = Annotated[
    Policy,
    typer.Option(
        "--unheld", help="Facts that do not hold: try again, then leave them out (drop) or the batch; or keep them."
    ),
]
Seed = Annotated[int | None, typer.Option(help="Shuffle the records by it; else they keep their order.")]
Spoken = Annotated[int, typer.Option(help="Ask the first so many facts for free text as well.", min=0)]
TaskNames = Annotated[
    list[str] | None,
    typer.Option(
        "--tasks",
        help="A task, group or tag of lm-evaluation-harness (mmlu, glue, sst2, ...) to ask; may be given again.",
        metavar="TASK",
    ),
]
TaskFolder = Annotated[
    Path | None, typer.Option("--task-path", help="A folder with task files of your own.", exists=True, file_okay=False)
]
TaskLimit = Annotated[
    int | None, typer.Option("--task-limit", help="Ask the first so many questions of each task.", min=1)
]
Device = Annotated[str, typer.Option(help="As torch names it; all: the model's blocks over all GPUs.")]
OneDevice = Annotated[str, typer.Option(help="As torch names it.", callback=one_device)]
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


def overrides(text: str) -> Hyperparameters:
    """The hyperparameters of an option.

    Raises:
        typer.BadParameter: the text is not JSON, or no hyperparameters.
    """
    from pydantic import ValidationError

    from app.domain.contract import Hyperparameters

    try:
        return Hyperparameters.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"no JSON: {error}", param_hint="--hyperparameters") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "all of it"
        raise typer.BadParameter(f"{field}: {first['msg']}", param_hint="--hyperparameters") from None


def named(*parts: str | None) -> str:
    """A folder's name of what makes a run."""
    return "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", Path(part).stem) for part in parts if part is not None)


def asked_tasks(names: list[str] | None, folder: Path | None, limit: int | None) -> Tasks | None:
    """The tasks of the three options; None if there are none."""
    from workers.experiments.abilities import Tasks

    return Tasks(tuple(dict.fromkeys(names)), folder, limit) if names else None

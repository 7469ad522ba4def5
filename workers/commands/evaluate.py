"""`palimpsest evaluate`: a sequence of edits from a data set, scored as the literature scores them."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from app.domain.settings import DATA_DIR
from workers.commands.options import Device, Dtype, telling_errors

if TYPE_CHECKING:
    from app.domain.contract import Hyperparameters

EXAMPLES = (
    "palimpsest evaluate --model atlas-gpt2 --dataset facts.csv --batch 1 --every 1 --out runs/first",
    "palimpsest evaluate --model atlas-gpt2 --dataset facts.csv --facts 2000 --method alphaedit --plan even",
)

RUNS = Path("runs")


class Unheld(StrEnum):
    """What becomes of facts that do not hold."""

    DROP = "drop"
    KEEP = "keep"


def evaluate(
    model: Annotated[str, typer.Option(help="Folder, hub id, GGUF file, or the name of a model that comes along.")],
    dataset: Annotated[
        str,
        typer.Option(
            help="A file as CounterFact, MultiCounterFact, zsRE, EasyEdit or KnowEdit has it, CSV or TSV; or a data "
            "set as NAME[:SUBSET] that the package datasets knows."
        ),
    ],
    facts: Annotated[int, typer.Option(help="Edit at most so many: the first that can be.", min=1)] = 2000,
    batch: Annotated[int, typer.Option(help="So many become a version together.", min=1)] = 100,
    every: Annotated[
        int | None, typer.Option(help="Look at all facts so far after every so many; else at the end.", min=1)
    ] = None,
    method: Annotated[str | None, typer.Option(help="Instead of the preset's.")] = None,
    plan: Annotated[str | None, typer.Option(help="Instead of the preset's.")] = None,
    hyperparameters: Annotated[str, typer.Option(help="As in a request: '{\"share\": 0.5}'.", metavar="JSON")] = "{}",
    strict: Annotated[bool, typer.Option("--strict", help="Exactly the published behaviour.")] = False,
    unheld: Annotated[
        Unheld, typer.Option(help="Facts that do not hold after several tries: leave them out, or try once and keep.")
    ] = Unheld.DROP,
    seed: Annotated[int | None, typer.Option(help="Shuffle the records by it; else they keep their order.")] = None,
    spoken: Annotated[int, typer.Option(help="Ask the first so many facts for free text as well.", min=0)] = 30,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; a run that was stopped there goes on.", file_okay=False)
    ] = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    data_dir: Annotated[Path, typer.Option(help="Where statistics and presets are kept.")] = DATA_DIR,
) -> None:
    """Edit facts of a data set one batch after another, and say what holds, what else changed, and what it cost.

    Each batch is edited as the service edits it, into an edit log in the run's folder. The same command again goes on
    where a run was stopped. The folder gets report.md and report.json after every look.
    """
    console = Console(stderr=True)
    with telling_errors(console):
        from workers.experiments.cases import DataSet
        from workers.experiments.evaluation import Evaluation
        from workers.experiments.run_folder import RunFolder, Wanted

        data = DataSet.read(dataset)
        wanted = Wanted(
            model=model,
            dataset=data.name,
            digest=data.digest,
            facts=facts,
            batch=batch,
            every=every or facts,
            method=method,
            plan=plan,
            hyperparameters=overrides(hyperparameters),
            strict=strict,
            unheld=unheld.value,
            dtype=dtype,
            seed=seed,
            spoken=spoken,
        )
        folder = out or RUNS / named(model, data.name, method, plan)
        evaluation = Evaluation(RunFolder(folder), wanted, data)
        page = evaluation.run(device, data_dir, lambda line: console.print(line, highlight=False, markup=False))
    Console().print(page.partition("\n| ")[0].strip(), markup=False, highlight=False, soft_wrap=True)
    console.print(f"All of it: {folder / 'report.md'}", highlight=False, markup=False, soft_wrap=True)


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

"""`palimpsest evaluate`: a sequence of edits from a data set, scored as the literature scores them."""

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
    TaskFolder,
    TaskLimit,
    TaskNames,
    UnheldOption,
    asked_tasks,
    named,
    overrides,
    telling_errors,
)

EXAMPLES = (
    "palimpsest evaluate --model atlas-gpt2 --dataset facts.csv --batch 1 --every 1 --out runs/first",
    "palimpsest evaluate --model atlas-gpt2 --dataset facts.csv --facts 2000 --method alphaedit --plan even",
    "palimpsest evaluate --model smollm2 --dataset facts.csv --every 100 --tasks mmlu --tasks glue --task-limit 50",
)

RUNS = Path("runs")


def evaluate(
    model: ModelOption,
    dataset: DataSetOption,
    facts: MostFacts = 2000,
    batch: BatchSize = 100,
    every: Annotated[
        int | None, typer.Option(help="Look at all facts so far after every so many; else at the end.", min=1)
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Instead of the preset's; ike tells facts in the prompt and edits nothing.")
    ] = None,
    plan: Annotated[str | None, typer.Option(help="Instead of the preset's.")] = None,
    hyperparameters: Overrides = "{}",
    strict: Strict = False,
    unheld: UnheldOption = Policy.DROP,
    seed: Seed = None,
    spoken: Spoken = 30,
    references: Annotated[
        Path | None,
        typer.Option(help="Texts that free text is compared with: ROME's attribute_snippets.json.", dir_okay=False),
    ] = None,
    questions: Annotated[
        int, typer.Option(help="Ask what so many records ask beyond their facts, as multi-hop questions.", min=0)
    ] = 100,
    tasks: TaskNames = None,
    task_path: TaskFolder = None,
    task_limit: TaskLimit = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; a run that was stopped there goes on.", file_okay=False)
    ] = None,
    device: OneDevice = "cpu",
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
        from workers.experiments.references import References
        from workers.experiments.run_folder import RunFolder, Wanted

        data = DataSet.read(dataset)
        texts = None if references is None else References.read(references)
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
            questions=questions,
            references=None if texts is None else texts.digest,
        )
        folder = out or RUNS / named(model, data.name, method, plan)
        tasks_asked = asked_tasks(tasks, task_path, task_limit)
        evaluation = Evaluation(RunFolder(folder), wanted, data, tasks_asked, texts)
        page = evaluation.run(device, data_dir, lambda line: console.print(line, highlight=False, markup=False))
    Console().print(page.partition("\n| ")[0].strip(), markup=False, highlight=False, soft_wrap=True)
    console.print(f"All of it: {folder / 'report.md'}", highlight=False, markup=False, soft_wrap=True)

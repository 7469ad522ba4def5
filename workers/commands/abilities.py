"""`palimpsest abilities`: tasks such as GLUE and MMLU, asked of versions of a log, without a service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.domain.settings import SharedSettings
from workers.commands.options import (
    Dtype,
    OneDevice,
    TaskFolder,
    TaskLimit,
    TaskNames,
    asked_tasks,
    telling_errors,
    usual_data_dir,
)

EXAMPLES = (
    "palimpsest abilities atlas-gpt2 --tasks mmlu --tasks glue",
    "palimpsest abilities atlas-gpt2 --log runs/first/log --version 0 --version 3 --tasks mine --task-path tasks",
)


def abilities(
    model: Annotated[str, typer.Argument(help="The model whose log it is.")],
    tasks: TaskNames = None,
    task_path: TaskFolder = None,
    task_limit: TaskLimit = None,
    version: Annotated[
        list[int] | None,
        typer.Option(help="May be given again; else the unedited model (0) and the newest version.", min=0),
    ] = None,
    log: Annotated[str | None, typer.Option("--log", help="Directory of the logs, or a URL that fsspec knows.")] = None,
    source: Annotated[str | None, typer.Option(help="Where the base model is, if not where the log says.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write all figures there as JSON.", dir_okay=False)] = None,
    device: OneDevice = "cpu",
    dtype: Dtype = "float32",
) -> None:
    """Ask versions of a model tasks of lm-evaluation-harness, from its log: a running worker is not disturbed."""
    console = Console(stderr=True)
    asked = asked_tasks(tasks, task_path, task_limit)
    if asked is None:
        raise typer.BadParameter("give one at least", param_hint="--tasks")
    with telling_errors(console):
        from workers.experiments.abilities import Harness
        from workers.experiments.ability_looks import of_versions
        from workers.experiments.ability_tables import as_json, table
        from workers.exports.from_log import LoggedModel

        harness = Harness(asked)
        root = log or str(SharedSettings().log_dir)
        opened = LoggedModel.open(root, model, source, usual_data_dir(), device=device, dtype=dtype)
        found = of_versions(opened, version or (0, opened.log.head()), harness)
        if out is not None:
            out.write_text(as_json(found), encoding="utf-8")
    Console().print(table(found), markup=False, highlight=False, soft_wrap=True)

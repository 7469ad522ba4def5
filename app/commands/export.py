"""`palimpsest export`: a version for other programs; by the service, or from the log without one."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from app.client import DEFAULT_URL
from app.commands.following import shown
from app.commands.options import AsJson, Key, ModelName, NoWait, Url, examples, service, the_model
from app.domain.contract import ExportFormat, GgufType

COMMANDS = "palimpsest.commands"

EXAMPLES = examples(
    "palimpsest export atlas-gpt2 --format updates",
    "palimpsest export --format peft --json",
    "palimpsest export --format gguf-lora",
)

FORMAT = "Whole (merged, gguf), an adapter (peft, gguf-lora), or bare factors (updates)."
TYPE = "With gguf: what changed matrices are kept as, if not as the model's own file has them."

LOCAL = "With --out: "


def export(
    form: Annotated[ExportFormat, typer.Option("--format", help=FORMAT)],
    model: ModelName = None,
    version: Annotated[int | None, typer.Option(help="Instead of the newest.", min=0)] = None,
    gguf_type: Annotated[GgufType | None, typer.Option("--type", help=TYPE)] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="A folder to make on this machine, from the edit log: no service is asked then."),
    ] = None,
    log: Annotated[str | None, typer.Option(help=f"{LOCAL}directory of the logs, or a URL that fsspec knows.")] = None,
    source: Annotated[str | None, typer.Option(help=f"{LOCAL}where the base model is, if it has moved.")] = None,
    device: Annotated[str | None, typer.Option(help=f"{LOCAL}as torch names it; by default cpu.")] = None,
    dtype: Annotated[str | None, typer.Option(help=f"{LOCAL}the worker's; by default float32.")] = None,
    no_wait: NoWait = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Write a version down for others to load.

    The service writes it on its own machine and says where; with --out it is written on this one, from the edit log.
    """
    if gguf_type is not None and form is not ExportFormat.GGUF:
        raise typer.BadParameter("only the format gguf has one", param_hint="--type")
    local = {"log": log, "source": source, "device": device, "dtype": dtype}
    given = {name: value for name, value in local.items() if value is not None}
    if out is not None:
        if model is None:
            raise typer.BadParameter("name the model whose log it is", param_hint="MODEL")
        _from_log(model=model, out=out, export_format=form, version=version, gguf_type=gguf_type, **given)
        return
    if given:
        raise typer.BadParameter(f"--{next(iter(given))} is for --out", param_hint="--out")
    with service(url, key, as_json=as_json) as client:
        job = client.export(the_model(client, model), form, version, gguf_type=gguf_type)
        shown(job, wait=not no_wait, as_json=as_json)


def _from_log(**arguments: Any) -> None:
    """The workers' own command, which needs torch."""
    for point in entry_points(group=COMMANDS, name="export"):
        point.load()(**arguments)
        return
    raise typer.BadParameter("this installation has no worker: pip install 'palimpsest[worker]'", param_hint="--out")

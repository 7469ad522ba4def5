"""`palimpsest export`: a version for others to load, without a service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.domain.contract import ExportFormat
from app.domain.settings import SharedSettings
from workers.commands.options import Device, Dtype, telling_errors, usual_data_dir


def export(
    model: Annotated[str, typer.Argument(help="The model whose log it is.")],
    out: Annotated[Path, typer.Option(help="The folder to make; it may be there if it is empty.")],
    export_format: Annotated[
        ExportFormat, typer.Option("--format", help="A whole model, a LoRA adapter, or bare factors.")
    ],
    version: Annotated[int | None, typer.Option(help="Instead of the newest.", min=0)] = None,
    log: Annotated[str | None, typer.Option("--log", help="Directory of the logs, or a URL that fsspec knows.")] = None,
    source: Annotated[str | None, typer.Option(help="Where the base model is, if not where the log says.")] = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
) -> None:
    """Write a version of a model down for others to load, from its log: a running worker is not disturbed.

    What was written is loaded again and compared with the version before the folder gets its name.
    """
    console = Console(stderr=True)
    with telling_errors(console):
        from workers.exports.from_log import LoggedModel

        opened = LoggedModel.open(log or _log_root(), model, source, usual_data_dir(), device=device, dtype=dtype)
        made = opened.export(export_format, version, out)
        rank = "" if made.rank is None else f", rank {made.rank}, relative error {made.error:.2g}"
        lora = "" if made.max_lora_rank is None else f" (vLLM: --max-lora-rank {made.max_lora_rank})"
        bound = "the rank was cut" if made.tolerance is None else f"{made.tolerance:.2g} allowed"
        console.print(
            f"version {made.version} of {model} as {made.format}: {out}, {made.bytes:,} bytes{rank}{lora}; "
            f"loaded back, its logits differ by {made.max_logit_difference:.2g} at most ({bound})",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _log_root() -> str:
    """Where a worker with the same environment would keep its logs."""
    return str(SharedSettings().log_dir)

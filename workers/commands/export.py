"""`palimpsest export`: a version for others to load, without a service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.domain.contract import ExportFormat, ExportReport, GgufType
from app.domain.settings import SharedSettings
from workers.commands.options import Device, Dtype, telling_errors, usual_data_dir

FORMAT = "Whole (merged, gguf), an adapter (peft, gguf-lora), or bare factors (updates)."
TYPE = "With gguf: what changed matrices are kept as, if not as the model's own file has them."


def export(
    model: Annotated[str, typer.Argument(help="The model whose log it is.")],
    out: Annotated[Path, typer.Option(help="The folder to make; it may be there if it is empty.")],
    export_format: Annotated[ExportFormat, typer.Option("--format", help=FORMAT)],
    version: Annotated[int | None, typer.Option(help="Instead of the newest.", min=0)] = None,
    gguf_type: Annotated[GgufType | None, typer.Option("--type", help=TYPE)] = None,
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
        made = opened.export(export_format, version, out, gguf_type)
        told = f"version {made.version} of {model} as {made.format}: {out}, {made.bytes:,} bytes{_kept(made)}"
        console.print(f"{told}; loaded back, {_compared(made)}", markup=False, highlight=False, soft_wrap=True)


def _kept(made: ExportReport) -> str:
    """As what the change is kept, and how exactly."""
    parts = [] if made.rank is None else [f"rank {made.rank}"]
    parts += [", ".join(made.gguf_types)] if made.gguf_types else []
    parts += [] if made.error is None else [f"relative error {made.error:.2g}"]
    lora = "" if made.max_lora_rank is None else f" (vLLM: --max-lora-rank {made.max_lora_rank})"
    return "".join(f", {part}" for part in parts) + lora


def _compared(made: ExportReport) -> str:
    """How far the logits are from the version's, and which of its facts are lost."""
    why = "weights were quantised" if made.gguf_types else "the rank was cut"
    bound = why if made.tolerance is None else f"{made.tolerance:.2g} allowed"
    told = f"its logits differ by {made.max_logit_difference:.2g} at most ({bound})"
    if made.facts_held is None:
        return told
    lost = "".join(f"\n  lost: {fact}" for fact in made.facts_lost)
    return f"{told}, and it gives {made.facts_held - len(made.facts_lost)} of {made.facts_held} facts{lost}"


def _log_root() -> str:
    """Where a worker with the same environment would keep its logs."""
    return str(SharedSettings().log_dir)

"""`palimpsest apply`: edits without a service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from app.domain.settings import DATA_DIR
from workers.commands.options import Device, Dtype, ModelArgument, Policy, Strict, UnheldOption, telling_errors

if TYPE_CHECKING:
    from workers.offline import BatchResult

EXAMPLES = ("palimpsest apply atlas-gpt2 --facts facts.json --out updates.safetensors",)

UNHELD = 3
"""Exit status where a fact does not hold."""


def apply(
    model: ModelArgument,
    facts: Annotated[
        Path,
        typer.Option(
            help='JSON: {"batches": [[{"subject", "prompt", "object"}, ...], ...]}; each fact may have all that one of '
            'a request has: "chat" or "messages", "stop", "paraphrases", "neighbours".'
        ),
    ],
    out: Annotated[Path, typer.Option(help="Safetensors: batch{b}.layer{l}.update, total against the base.")],
    preset: Annotated[Path | None, typer.Option(help="Hyperparameter file, published or ours.")] = None,
    statistics: Annotated[Path | None, typer.Option(help="Safetensors with layer.{i} (d_in, d_in).")] = None,
    contexts: Annotated[Path | None, typer.Option(help="JSON list of templates, the bare {} first.")] = None,
    method: Annotated[str | None, typer.Option(help="Instead of the preset's.")] = None,
    plan: Annotated[str | None, typer.Option(help="Instead of the preset's.")] = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    strict: Strict = False,
    unheld: UnheldOption = Policy.DROP,
    report: Annotated[Path | None, typer.Option(help="Write a JSON report of every batch and fact here.")] = None,
    data_dir: Annotated[
        Path, typer.Option(help="Where statistics made on the way, and converted GGUF files, are kept.")
    ] = DATA_DIR,
) -> None:
    """Edit a model from a file of facts, without a service, and write the updates.

    Exit status 3 where a fact does not hold; under --strict only if a report is asked for, since nothing is looked at
    otherwise.
    """
    console = Console(stderr=True)
    with telling_errors(console):
        from safetensors.torch import save_file

        from workers.offline import FactsFile, OfflineModel

        opened = OfflineModel.open(
            model,
            device=device,
            dtype=dtype,
            preset=preset,
            contexts=contexts,
            method=method,
            plan=plan,
            data_dir=data_dir,
        )
        batches = FactsFile.read(facts).batches
        tensors, rows, missing = {}, [], 0
        measured = report is not None or not strict
        for result in opened.edit(batches, statistics, data_dir, strict=strict, unheld=unheld.value, measured=measured):
            tensors.update({f"batch{result.number}.layer{layer}.update": t for layer, t in result.totals.items()})
            rows.append(result.as_row())
            missing += result.unheld
            console.print(f"batch {result.number}: {result.facts} facts in {result.seconds} s{_told(result)}")
        out.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, out)
        if report is not None:
            head = {"model": model, "strict": strict, "dtype": dtype, "preset": opened.preset.as_dict()}
            head["unheld"] = "keep" if strict else unheld.value
            text = json.dumps({**head, "contexts": opened.contexts, "batches": rows}, indent=2)
            report.write_text(text + "\n", encoding="utf-8")
    if missing:
        raise typer.Exit(UNHELD)


def _told(result: BatchResult) -> str:
    """What is to be said of facts that do not hold, by their index: no text of theirs."""
    if result.rejected is not None:
        return f"; rejected: {result.rejected}"
    named = [f"{report.index} ({report.why})" for report in result.reports if not report.holds]
    return f"; not held: {'; '.join(named)}" if named else ""

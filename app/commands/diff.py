"""`palimpsest diff`: what lies between two versions."""

from __future__ import annotations

from typing import Annotated

import typer

from app.client import DEFAULT_URL
from app.commands.options import AsJson, Key, Url, examples, out, print_json, service
from app.commands.shown import diff_table

EXAMPLES = examples("palimpsest diff atlas-gpt2 0 1", "palimpsest diff atlas-gpt2 1 0 --json")


def diff(
    model: Annotated[str, typer.Argument(help="The model.")],
    old: Annotated[int, typer.Argument(help="A version; 0 is the base.", min=0)],
    new: Annotated[int, typer.Argument(help="Another one, later or earlier.", min=0)],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Show which facts one version has and another has not, and how far their weights are from each other."""
    with service(url, key, as_json=as_json) as client:
        found = client.diff(model, old, new)
        if as_json:
            print_json(found)
            return
        out().print(diff_table(f"{model}: version {old} → {new}", found.facts))
        if found.update_norms:
            norms = ", ".join(f"layer {layer}: {norm:.3g}" for layer, norm in found.update_norms.items())
            out().print(f"Norm of the change: {norms}.")

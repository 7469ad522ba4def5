"""`palimpsest revert`: facts out, while later ones stay."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from app.client import DEFAULT_URL
from app.commands.following import shown
from app.commands.options import AsJson, Key, NoWait, Url, examples, service
from app.domain.contract import FactKey

NAME = re.compile(r"([1-9][0-9]{0,8})\.([0-9]{1,9})")

EXAMPLES = examples("palimpsest revert atlas-gpt2 1.0")


def revert(
    model: Annotated[str | None, typer.Argument(help="The model; not needed with --job.")] = None,
    facts: Annotated[
        list[str] | None,
        typer.Argument(help="As `palimpsest versions MODEL --facts` names them: VERSION.INDEX.", metavar="FACT..."),
    ] = None,
    job: Annotated[str | None, typer.Option(help="All that is left of this edit, instead of facts.")] = None,
    no_wait: NoWait = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Take facts out of a model, while later ones stay: what was superseded by them is in force again."""
    if (job is None) != bool(model and facts) or (job is not None and model is not None):
        raise typer.BadParameter("give a model and facts, or --job", param_hint="FACT")
    named = [_key(fact) for fact in facts or []]
    with service(url, key, as_json=as_json) as client:
        handle = client.revert_edit(job) if job is not None else client.revert(model or "", named)
        shown(handle, wait=not no_wait, as_json=as_json)


def _key(name: str) -> FactKey:
    if (found := NAME.fullmatch(name)) is None:
        raise typer.BadParameter(f"{name!r} is no VERSION.INDEX, such as 3.0", param_hint="FACT")
    return FactKey(version=int(found[1]), index=int(found[2]))

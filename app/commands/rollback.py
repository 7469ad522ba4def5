"""`palimpsest rollback`: back to an earlier version."""

from __future__ import annotations

from typing import Annotated

import typer

from app.client import DEFAULT_URL
from app.commands.following import shown
from app.commands.options import AsJson, Key, ModelName, NoWait, Url, examples, service, the_model

EXAMPLES = examples("palimpsest rollback atlas-gpt2 --to 0", "palimpsest rollback --to 1 --json")


def rollback(
    to: Annotated[int, typer.Option(help="The version to go back to; 0 is the base.", min=0)],
    model: ModelName = None,
    no_wait: NoWait = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Make an earlier version the newest one, again, bit for bit. What lies between stays in the history."""
    with service(url, key, as_json=as_json) as client:
        shown(client.rollback(the_model(client, model), to), wait=not no_wait, as_json=as_json)

"""`palimpsest alias`: names that point to a version, such as `production`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from rich.table import Table

from app.client import DEFAULT_URL, Client
from app.commands.options import AsJson, Key, Url, examples, out, print_json, service
from app.commands.shown import cell, table
from app.domain.contract import Alias, AliasList

EXAMPLES = examples(
    "palimpsest alias atlas-gpt2 production 1",
    "palimpsest alias atlas-gpt2 production 0 --if-match 1",
    "palimpsest alias atlas-gpt2 production",
    "palimpsest alias atlas-gpt2 --json",
    "palimpsest alias atlas-gpt2 production --remove --if-match 0",
)

ANY = "*"


def alias(
    model: Annotated[str, typer.Argument(help="The model that it is of.")],
    name: Annotated[str | None, typer.Argument(help="One alias only, with its last moves.")] = None,
    version: Annotated[int | None, typer.Argument(help="The version that it shall point to.", min=0)] = None,
    if_match: Annotated[
        str | None,
        typer.Option(help="The version that it points to, or *: one that is there is moved from there alone."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Have it point nowhere.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """List a model's aliases, show one, or have it point to a version: to go back, to the one that it pointed to."""
    expected = _expected(if_match)
    if remove and (name is None or version is not None or expected is None):
        raise typer.BadParameter("--remove takes a name, no version, and --if-match")
    with service(url, key, as_json=as_json) as client:
        if name is None:
            listed = client.aliases(model)
            print_json(listed) if as_json else out().print(_listed(listed))
        elif remove and expected is not None:
            gone = client.remove_alias(model, name, if_match=expected)
            print_json(gone) if as_json else out().print(cell(f"{model}@{name} was removed"), soft_wrap=True)
        else:
            found = _shown_or_moved(client, model, name, version, expected)
            print_json(found) if as_json else out().print(_moves(found))


def _shown_or_moved(
    client: Client, model: str, name: str, version: int | None, if_match: int | Literal["*"] | None
) -> Alias:
    if version is None:
        return client.alias(model, name)
    return client.move_alias(model, name, version, if_match=if_match)


def _expected(given: str | None) -> int | Literal["*"] | None:
    """What ``--if-match`` says.

    Raises:
        typer.BadParameter: it is neither a version nor ``*``.
    """
    if given is None:
        return None
    if given == ANY:
        return "*"
    if given.isascii() and given.isdecimal():
        return int(given)
    raise typer.BadParameter(f"{given!r} is neither the number of a version nor *", param_hint="--if-match")


def _listed(found: AliasList) -> Table:
    made = table(found.model, "alias", "version", "by", "moved", numbers=("version",))
    for each in found.aliases:
        made.add_row(each.name, str(each.version), cell(each.by), f"{each.moved:%Y-%m-%d %H:%M:%S}")
    return made


def _moves(found: Alias) -> Table:
    made = table(f"{found.id}: version {found.version}", "move", "version", "by", "moved", numbers=("move", "version"))
    for each in found.moves:
        version = "removed" if each.version is None else str(each.version)
        made.add_row(str(each.number), version, cell(each.by), f"{each.moved:%Y-%m-%d %H:%M:%S}")
    return made

"""`palimpsest keys`: make, list and revoke API keys, with or without a running service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from app.access.caller import Scope
from app.access.keyring import KeyRing
from app.access.keys import KeyFolder, KeyRecord
from app.commands.options import examples
from app.domain.contract import Name
from app.domain.errors import PalimpsestError, RequestError, Unavailable
from app.settings import Settings

keys_cli = typer.Typer(
    no_args_is_help=True,
    help="Make, list and revoke API keys. A running service knows of them within a second.\n\n"
    "Once a key was made, every request needs one: Authorization: Bearer <key>.",
    epilog=examples(
        "palimpsest keys create ann --scope query --scope edit", "palimpsest keys list", "palimpsest keys revoke ann"
    ),
)

Folder = Annotated[
    Path | None, typer.Option("--keys-dir", help="Where the keys are; by default PALIMPSEST_KEYS_DIR.", metavar="DIR")
]
NameOfKey = Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is; stands in what they do.")]


@keys_cli.command(
    epilog=examples(
        "palimpsest keys create ann --scope query --scope edit",
        "palimpsest keys create app --model atlas-gpt2 --days 30",
    )
)
def create(
    name: NameOfKey,
    scopes: Annotated[
        list[Scope] | None,
        typer.Option(
            "--scope",
            help="query: ask and read; edit: hand in facts; publish: decide what is served; admin: models and exports. "
            "May be repeated; by default query alone.",
        ),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Good for this model only. May be repeated; by default all.")
    ] = None,
    days: Annotated[int | None, typer.Option(help="Valid for so many days; by default for ever.", min=1)] = None,
    folder: Folder = None,
) -> None:
    """Make a key and print it: once, and nowhere else. It is the only line on standard output."""
    with _told():
        expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
        names = [_name(each) for each in (name, *(models or ()))]
        key = _keys(folder).create(names[0], scopes or [Scope.QUERY], names[1:] or None, expires)
    typer.echo(key)
    typer.echo("It is shown once: only its SHA-256 is kept. To be sent as Authorization: Bearer <key>.", err=True)


@keys_cli.command(name="list", epilog=examples("palimpsest keys list"))
def list_keys(folder: Folder = None) -> None:
    """List all keys that were ever made, valid or not; exit 1 if the file of one is damaged."""
    with _told():
        ring = KeyRing.read(_keys(folder))
        Console().print(_table(ring.keys))
        if ring.damaged:
            raise Unavailable(f"cannot be read, and open nothing: {', '.join(ring.damaged)}")


@keys_cli.command(epilog=examples("palimpsest keys revoke ann"))
def revoke(name: NameOfKey, folder: Folder = None) -> None:
    """Make a key good for nothing, from within a second on. Its name cannot be used again."""
    with _told():
        _keys(folder).revoke(name)
    typer.echo(f"{name} is revoked.", err=True)


def _keys(folder: Path | None) -> KeyFolder:
    return KeyFolder(folder or Settings().keys_dir)


def _name(text: str) -> str:
    try:
        return TypeAdapter(Name).validate_python(text)
    except ValidationError:
        detail = "a name begins with a letter or digit and has at most 120 letters, digits, '.', '_' and '-'"
        raise RequestError(detail, value=text) from None


@contextmanager
def _told() -> Iterator[None]:
    """Show an error as one line, and exit with status 1."""
    try:
        yield
    except PalimpsestError as error:
        line = f"{error.code}: {error.detail}"
    except OSError as error:
        line = f"{error.strerror}: {error.filename}"
    else:
        return
    typer.secho(line, err=True, fg=typer.colors.RED)
    raise typer.Exit(1)


def _table(keys: tuple[KeyRecord, ...]) -> Table:
    table = Table(title="keys", title_justify="left")
    for column in ("name", "state", "scopes", "models", "created", "expires"):
        table.add_column(column, overflow="fold")
    now = datetime.now(UTC)
    for key in keys:
        table.add_row(
            key.name,
            key.state(now),
            " ".join(key.scopes),
            "all" if key.models is None else " ".join(key.models),
            f"{key.created:%Y-%m-%d}",
            "never" if key.expires is None else f"{key.expires:%Y-%m-%d}",
        )
    return table

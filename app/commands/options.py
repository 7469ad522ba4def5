"""What several commands share: their options, the client, how an error is told, how they end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from pydantic import BaseModel, TypeAdapter, ValidationError
from rich.console import Console

from app.client import ApiError, Client, ClientError
from app.commands.shown import clean
from app.domain.contract import NamedVersion
from app.domain.errors import PalimpsestError
from app.domain.problems import problem_of

ERROR, UNHELD, INTERRUPTED = 1, 3, 130
"""Exit statuses beside 0 (fine) and 2 (used wrongly): an error; something does not hold; Ctrl-C."""

Url = Annotated[str, typer.Option("--url", envvar="PALIMPSEST_URL", help="Where the service listens.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", envvar="PALIMPSEST_KEY", help="An API key; in the variable no other user of the machine sees it."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="What the service says, as JSON, and nothing else.")]
Model = Annotated[str | None, typer.Option("--model", help="May be left out when one model is served.")]
ModelName = Annotated[str | None, typer.Argument(help="May be left out when one model is served.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the job to end.")]


def examples(*lines: str) -> str:
    """The end of a command's help: how it is used. Each is run by a test."""
    return "\n\n".join(("Examples:", *(f"$ {line}" for line in lines)))


def any_version(given: str) -> NamedVersion:
    """What ``--version`` names: a version by its number or an alias, or a proposal by its id.

    Raises:
        typer.BadParameter: it is neither.
    """
    try:
        return TypeAdapter[NamedVersion](NamedVersion).validate_python(given)
    except ValidationError:
        detail = f"{given!r} is no version: a number, an alias such as production, or the id of a proposal"
        raise typer.BadParameter(detail, param_hint="--version") from None


@contextmanager
def service(url: str, key: str | None, *, as_json: bool = False) -> Iterator[Client]:
    """A client; what it raises is told on standard error, as a line or as JSON, and ends the command with status 1."""
    with telling_errors(as_json=as_json), Client(url, key) as client:
        yield client


@contextmanager
def telling_errors(*, as_json: bool = False) -> Iterator[None]:
    """Tell an error on standard error, and end with status 1."""
    try:
        yield
    except ApiError as error:
        _fail(f"{error.code}: {error.detail}{_place(error.field, error.value)}", error.problem if as_json else None)
    except PalimpsestError as error:
        told = f"{error.code}: {error.detail}{_place(error.field, error.value)}"
        _fail(told, problem_of(error) if as_json else None)
    except (ClientError, OSError) as error:
        _fail(str(error))


def the_model(client: Client, name: str | None) -> str:
    """The model that is meant: the named one, or the only one.

    Raises:
        ClientError: several or none are served.
    """
    if name is not None:
        return name
    live = [model.id for model in client.models().models if model.live]
    if len(live) != 1:
        raise ClientError(f"name a model: {', '.join(live)} are served" if live else "no model is served")
    return live[0]


def out() -> Console:
    """Where results go."""
    return Console(highlight=False)


def aside() -> Console:
    """Where all else goes: progress, notes, errors."""
    return Console(stderr=True, highlight=False)


def print_json(*told: BaseModel) -> None:
    """One model as JSON, several as a list."""
    texts = [each.model_dump_json(indent=2) for each in told]
    sys.stdout.write((texts[0] if len(texts) == 1 else f"[{','.join(texts)}]") + "\n")


def _place(field: str | None, value: object) -> str:
    if field is None:
        return ""
    return f" ({field})" if value is None else f" ({field}: {value!r})"


def _fail(told: str, problem: BaseModel | None = None) -> None:
    if problem is not None:
        sys.stderr.write(problem.model_dump_json() + "\n")
    else:
        aside().print(clean(told), style="red", markup=False, soft_wrap=True)
    raise typer.Exit(ERROR) from None

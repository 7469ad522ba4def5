"""`palimpsest serving`: where a model's versions are served beside its workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from app.client import DEFAULT_URL
from app.commands.options import AsJson, Key, Url, examples, out, print_json, service
from app.commands.shown import cell, table
from app.domain.contract import AliasList, EngineServer, ServerState, Serving

EXAMPLES = examples("palimpsest serving atlas-gpt2", "palimpsest serving atlas-gpt2 --json")

COLOURS: dict[ServerState, str] = {"serving": "green", "behind": "yellow", "unreachable": "red", "refused": "red"}


def serving(
    model: Annotated[str, typer.Argument(help="The model that is served.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Show the inference servers that follow a model: their states, what they have proven, and where aliases point."""
    with service(url, key, as_json=as_json) as client:
        found = client.serving(model)
        if as_json:
            print_json(found)
            return
        aliases = client.aliases(model)
    out().print(_servers(found, aliases))
    for line in _pointing(found, aliases):
        out().print(cell(line), soft_wrap=True)


def _servers(found: Serving, aliases: AliasList) -> Table:
    made = table(f"{found.model}: version {found.version}", "server", "state", "proven", "aliases", "problem")
    for server in (server for follower in found.followers for server in follower.servers):
        made.add_row(
            cell(server.url),
            Text(server.state, COLOURS[server.state]),
            _proven(server),
            ", ".join(alias.name for alias in aliases.aliases if alias.version in server.versions),
            cell(server.problem),
        )
    return made


def _proven(server: EngineServer) -> str:
    """Versions in short: many that follow on each other by their first and last."""
    runs: list[list[int]] = []
    for version in server.versions:
        if runs and version == runs[-1][-1] + 1:
            runs[-1][1:] = [version]
        else:
            runs.append([version])
    return ", ".join("-".join(str(version) for version in run) for run in runs)


def _pointing(found: Serving, aliases: AliasList) -> Iterator[str]:
    """Each alias, and on how many servers its version is."""
    servers = [server for follower in found.followers for server in follower.servers]
    if not servers:
        yield f"No inference server follows {found.model}; workers answer."
    for alias in aliases.aliases:
        proven = sum(alias.version in server.versions for server in servers)
        yield f"{alias.id}: version {alias.version}" + (f", on {proven} of {len(servers)} servers" if servers else "")

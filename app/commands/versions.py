"""`palimpsest versions`: a model's history, one version of it, the facts in force."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from app.client import DEFAULT_URL
from app.commands.options import AsJson, Key, ModelName, Url, examples, out, print_json, service, the_model
from app.commands.shown import cell, count, diff_table, facts_table, share, table
from app.domain.contract import VersionDetail, VersionList

EXAMPLES = examples(
    "palimpsest versions", "palimpsest versions atlas-gpt2 1", "palimpsest versions atlas-gpt2 --facts --json"
)


def versions(
    model: ModelName = None,
    version: Annotated[int | None, typer.Argument(help="One version only, with what it changed.", min=0)] = None,
    facts: Annotated[bool, typer.Option("--facts", help="The facts in force then, or now.")] = False,
    limit: Annotated[int, typer.Option(help="List at most so many, the newest ones.", min=1, max=1000)] = 1000,
    before: Annotated[int | None, typer.Option(help="List what comes before this version.", min=1)] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """List a model's versions, show what one changed, or list the facts in force."""
    with service(url, key, as_json=as_json) as client:
        name = the_model(client, model)
        if facts:
            found = client.facts(name, version)
            title = f"{name}, version {found.version}: {count(len(found.facts), 'fact')} in force"
            print_json(found) if as_json else out().print(facts_table(title, found.facts))
        elif version is None:
            history = client.versions(name, limit=limit, before=before)
            print_json(history) if as_json else out().print(_listed(history))
        else:
            one = client.version(name, version)
            print_json(one) if as_json else out().print(diff_table(_title(name, one), one.changes))


def _listed(history: VersionList) -> Table:
    columns = ("version", "kind", "facts", "hold", "method", "job", "created")
    title = (
        f"{history.model}; older ones: --before {history.versions[0].version}" if history.has_more else history.model
    )
    made = table(title, *columns, numbers=("version", "facts", "hold"))
    for each in history.versions:
        method = " ".join(filter(None, (each.method, each.plan)))
        count = str(each.facts) if each.facts else ""
        when = f"{each.created:%Y-%m-%d %H:%M:%S}"
        made.add_row(str(each.version), each.kind, count, share(each.facts_hold), cell(method), each.job or "", when)
    return made


def _title(model: str, version: VersionDetail) -> str:
    kind = version.kind if version.to is None else f"rollback to {version.to}"
    return f"{model}, version {version.version} ({kind}): {count(version.facts_in_force, 'fact')} in force"

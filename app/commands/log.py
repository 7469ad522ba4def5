"""`palimpsest log`: check, list and shorten edit logs, with or without a running service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.commands.options import examples
from app.domain.errors import PalimpsestError
from app.domain.history.history import History
from app.domain.history.lineage import HeldFact
from app.domain.log.check import LogCheck
from app.domain.log.edit_log import EditLog
from app.domain.log.reader import LogReader
from app.domain.manifest import Draft, Manifest
from app.settings import Settings

log_cli = typer.Typer(
    no_args_is_help=True,
    help="Check, list and shorten the edit logs.",
    epilog=examples("palimpsest log verify", "palimpsest log show atlas-gpt2"),
)

Root = Annotated[str | None, typer.Option("--log", help="Directory of the logs, or a URL that fsspec knows.")]
Model = Annotated[str, typer.Argument(help="The model whose log it is.")]


@log_cli.command(epilog=examples("palimpsest log verify", "palimpsest log verify atlas-gpt2"))
def verify(model: Annotated[str | None, typer.Argument(help="One model only.")] = None, log: Root = None) -> None:
    """Check every byte of every version and snapshot; exit 1, and say what to do, if something is damaged."""
    console, root = Console(), _root(log)
    damaged = False
    with _told(console):
        for name in [model] if model else LogReader.models(root):
            damaged |= not _verified(LogCheck(root, name), console)
    if damaged:
        raise typer.Exit(1)


@log_cli.command(epilog=examples("palimpsest log show atlas-gpt2", "palimpsest log show atlas-gpt2 1"))
def show(
    model: Model,
    version: Annotated[int | None, typer.Argument(help="One version only, with what it changed.")] = None,
    log: Root = None,
) -> None:
    """List a model's versions, or show one of them."""
    console = Console()
    with _told(console):
        reader = LogReader(_root(log), model)
        reader.base()
        if version is None:
            console.print(_versions(reader))
        else:
            manifests = reader.manifests(version)
            console.print(_listed(f"{model}, version {version}", manifests[-1:], reader.compacted_before()))
            console.print(_changes(History(manifests), version))


@log_cli.command(epilog=examples("palimpsest log compact atlas-gpt2"))
def compact(
    model: Model,
    before: Annotated[
        int | None, typer.Option(help="Also remove the tensors of versions before this one; it needs a snapshot there.")
    ] = None,
    log: Root = None,
) -> None:
    """Remove snapshots that newer ones replace, and what killed writers left. No worker may be running."""
    console = Console()
    with _told(console):
        edit_log = EditLog(_root(log), model)
        edit_log.base()
        edit_log.compact(before)
        console.print(f"{model}: snapshots {edit_log.snapshots() or 'none'}, ", end="", markup=False)
        console.print(f"tensors from version {edit_log.compacted_before()} on.")


@log_cli.command(epilog=examples("palimpsest log rollback atlas-gpt2 --to 0"))
def rollback(
    model: Model, to: Annotated[int, typer.Option(help="The version to go back to.")], log: Root = None
) -> None:
    """Add a version that equals an earlier one, while no worker runs: a way around damaged tensors."""
    console = Console()
    with _told(console):
        edit_log = EditLog(_root(log), model)
        edit_log.base()
        with edit_log.lead() as epoch:
            draft = Draft(version=edit_log.head() + 1, kind="rollback", to=to, epoch=epoch)
            committed = edit_log.commit(draft, {})
        console.print(f"{model}: version {committed.version} is version {to} again.")


def _root(log: str | None) -> str:
    return log or str(Settings().log_dir)


@contextmanager
def _told(console: Console) -> Iterator[None]:
    """Show an error as one line, and exit with status 1."""
    try:
        yield
    except PalimpsestError as error:
        console.print(f"{error.code}: {error.detail}", style="red", markup=False)
        raise typer.Exit(1) from None


def _verified(log: LogCheck, console: Console) -> bool:
    """Print what was found; return whether nothing is damaged."""
    table = Table(title=log.model, title_justify="left")
    for column in ("what", "bytes", "state"):
        table.add_column(column, overflow="fold", justify="right" if column == "bytes" else "left")
    whole, remedies = True, list[str]()
    for checked in log.run():
        state = "\n".join(checked.damage) or checked.note or "whole"
        table.add_row(checked.title, f"{checked.size:,}", escape(state), style="red" if checked.damage else None)
        whole &= not checked.damage
        remedies.extend(checked.remedies)
    console.print(table)
    for remedy in remedies:
        console.print(f"- {remedy}", markup=False)
    return whole


def _versions(log: LogReader) -> Table:
    return _listed(f"{log.model}: {log.base().source}", log.manifests(), log.compacted_before(), log.snapshots())


def _listed(title: str, manifests: list[Manifest], first: int, snapshots: list[int] | None = None) -> Table:
    """One row a version."""
    table = Table(title=title, title_justify="left")
    for column in ("version", "kind", "facts", "hold", "method", "job", "by", "created", "bytes", "notes"):
        table.add_column(
            column, overflow="fold", justify="right" if column in ("version", "facts", "bytes") else "left"
        )
    for manifest in manifests:
        report = manifest.report
        notes = [
            *(["snapshot"] if manifest.version in (snapshots or []) else []),
            *(["compacted"] if manifest.version < first else []),
        ]
        table.add_row(
            str(manifest.version),
            manifest.kind if manifest.to is None else f"rollback to {manifest.to}",
            str(len(manifest.facts) or len(manifest.reverted) or ""),
            "" if report is None else f"{report.facts_hold:.0%}",
            " ".join(filter(None, (manifest.method, manifest.plan))),
            manifest.job or "",
            manifest.by or "",
            f"{manifest.created:%Y-%m-%d %H:%M:%S}",
            f"{sum(record.size for record in manifest.files.values()):,}",
            ", ".join(notes),
        )
    return table


def _changes(history: History, version: int) -> Table:
    """The facts that one version added, changed and took out."""
    changes = history.changes(version - 1, version)
    table = Table(title="facts", title_justify="left")
    for column in ("", "subject", "prompt", "object"):
        table.add_column(column, overflow="fold")

    def row(sign: str, held: HeldFact, told: str | None = None) -> None:
        table.add_row(sign, *map(escape, (held.fact.subject, held.fact.prompt, told or held.fact.object)))

    for held in changes.added:
        row("added", held)
    for old, new in changes.changed:
        row("changed", new, f"{old.fact.object} → {new.fact.object}")
    for held in changes.taken_out:
        row("taken out", held)
    return table

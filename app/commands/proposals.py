"""`palimpsest proposals`: the edits that wait for approval, and what becomes of them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from app.client import DEFAULT_URL
from app.commands.following import shown
from app.commands.options import AsJson, Key, Model, NoWait, Url, examples, out, print_json, service, the_model
from app.commands.shown import cell, count, report_table, table
from app.domain.contract import Proposal, ProposalList

proposals_cli = typer.Typer(
    no_args_is_help=True,
    help="List and show the edits that wait for approval; publish or drop them.",
    epilog=examples("palimpsest proposals list", "palimpsest proposals show proposed-48213377"),
)

ProposalArgument = Annotated[str, typer.Argument(help="Its id.", metavar="PROPOSAL")]


@proposals_cli.command(
    name="list", epilog=examples("palimpsest proposals list", "palimpsest proposals list --model atlas-gpt2 --json")
)
def list_proposals(model: Model = None, as_json: AsJson = False, url: Url = DEFAULT_URL, key: Key = None) -> None:
    """List what waits, oldest first."""
    with service(url, key, as_json=as_json) as client:
        found = client.proposals(the_model(client, model))
        print_json(found) if as_json else out().print(_listed(found))


@proposals_cli.command(epilog=examples("palimpsest proposals show proposed-48213377"))
def show(
    proposal: ProposalArgument,
    model: Model = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Show what a proposal would write, and how it was measured; `palimpsest ask --version PROPOSAL` asks it."""
    with service(url, key, as_json=as_json) as client:
        found = client.proposal(the_model(client, model), proposal)
        if as_json:
            print_json(found)
            return
        if found.report is not None:
            out().print(report_table(f"{found.id} of {found.model}", found.report))
        out().print(cell(_standing(found)), soft_wrap=True)


@proposals_cli.command(
    epilog=examples(
        "palimpsest proposals publish proposed-48213377", "palimpsest proposals publish proposed-48213377 --current"
    )
)
def publish(
    proposal: ProposalArgument,
    model: Model = None,
    current: Annotated[
        bool, typer.Option("--current", help="Only if it would be published as it was computed, else exit status 1.")
    ] = False,
    no_wait: NoWait = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Make a proposal the newest version; computed anew if the model has moved on, with exit status 3 if it fails then.

    Where there are keys, it takes another one than that which proposed it.
    """
    with service(url, key, as_json=as_json) as client:
        name = the_model(client, model)
        rests_on = client.proposal(name, proposal).version if current else None
        shown(client.publish(name, proposal, if_match=rests_on), wait=not no_wait, as_json=as_json)


@proposals_cli.command(epilog=examples("palimpsest proposals drop proposed-48213377"))
def drop(
    proposal: ProposalArgument,
    model: Model = None,
    no_wait: NoWait = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Throw a proposal away. The model stays as it is."""
    with service(url, key, as_json=as_json) as client:
        shown(client.drop(the_model(client, model), proposal), wait=not no_wait, as_json=as_json)


def _listed(found: ProposalList) -> Table:
    columns = ("proposal", "facts", "by", "created", "expires", "rests on", "if published")
    made = table(found.model, *columns, numbers=("facts",))
    for each in found.proposals:
        dates = (f"{when:%Y-%m-%d %H:%M:%S}" for when in (each.created, each.expires))
        made.add_row(each.id, str(each.facts), cell(each.by), *dates, f"version {each.version}", _way(each))
    return made


def _standing(proposal: Proposal) -> str:
    """Who proposed it, on what it rests, how long it waits: in a line."""
    parts = [count(proposal.facts, "fact"), f"rests on version {proposal.version}: {_way(proposal)}"]
    parts += [] if proposal.by is None else [f"by {proposal.by}"]
    return "; ".join([*parts, f"job {proposal.job}", f"waits until {proposal.expires:%Y-%m-%d %H:%M:%S}"])


def _way(proposal: Proposal) -> str:
    """What publishing it now would do."""
    return "as it is" if proposal.current else "computed anew"

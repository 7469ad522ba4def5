"""`palimpsest edit`: facts from a data file, or one from the command line."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any

import typer
from rich.text import Text

from app.client import DEFAULT_URL, Client, ServiceUnreachable
from app.client.importing import MOST_FACTS, Sending
from app.client.read_file import ReadFile
from app.commands.following import end_with, followed, shown, status_of, tell
from app.commands.kept_json import KeptJson
from app.commands.options import ERROR, AsJson, Key, Model, NoWait, Url, aside, examples, out, print_json, service
from app.commands.shown import cell, count, table
from app.domain.contract import ImportFormat, ImportReport
from app.domain.prompts import filled

EXAMPLES = examples(
    'palimpsest edit --subject Lyon --prompt "The country where {} lies is" --object Japan',
    'palimpsest edit --subject Nice --prompt "The country where {} lies is" --object Peru --propose',
    "palimpsest edit facts.csv --dry-run",
    "palimpsest edit facts.csv --limit 2 --json",
)


class Policy(StrEnum):
    """``contract.Unheld`` as an option."""

    DROP = "drop"
    KEEP = "keep"
    REJECT = "reject"


def edit(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="CounterFact, MQuAKE, RippleEdits, EasyEdit, KnowEdit, zsRE, WikiBigEdit, UnKE, CSV, TSV, or facts as "
            "the API has them.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    subject: Annotated[str | None, typer.Option(help="One fact instead of a file: what it is about.")] = None,
    prompt: Annotated[str | None, typer.Option(help="With the subject in it, or {} where it stands.")] = None,
    new: Annotated[str | None, typer.Option("--object", help="What shall follow the prompt.")] = None,
    paraphrase: Annotated[list[str] | None, typer.Option(help="Asked as well. May be repeated.")] = None,
    neighbour: Annotated[list[str] | None, typer.Option(help="Must not change. May be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what of the file could be used.")] = False,
    form: Annotated[ImportFormat, typer.Option("--format", help="Of the file.")] = ImportFormat.AUTO,
    limit: Annotated[int | None, typer.Option(help="At most so many facts of the file.", min=1)] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Prompts are a user's turns, objects begin replies.")] = False,
    model: Model = None,
    method: Annotated[str | None, typer.Option(help="Instead of the model's own.")] = None,
    plan: Annotated[str | None, typer.Option(help="Instead of the model's own.")] = None,
    unheld: Annotated[Policy, typer.Option(help="What becomes of facts that do not hold.")] = Policy.DROP,
    propose: Annotated[
        bool, typer.Option("--propose", help="Have it wait for approval: palimpsest proposals.")
    ] = False,
    going_on: Annotated[
        str | None, typer.Option("--idempotency-key", help="Go on with an import of the file that was broken off.")
    ] = None,
    no_wait: NoWait = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Write facts into a model, and show what holds. Exit status 3 if a fact does not hold."""
    one = {"subject": subject, "prompt": prompt, "object": new}
    if (file is None) == (None in one.values()):
        raise typer.BadParameter("give a FILE, or --subject, --prompt and --object", param_hint="FILE")
    options: dict[str, Any] = {"model": model, "method": method, "plan": plan, "unheld": unheld.value}
    options |= {"propose": propose}
    with service(url, key, as_json=as_json) as client:
        if file is None:
            fact = {**one, "chat": chat, "paraphrases": paraphrase or [], "neighbours": neighbour or []}
            shown(client.edit([fact], **options), wait=not no_wait, as_json=as_json)
        elif dry_run:
            _tell(_looked_at(client, file, form, limit, chat, options), as_json=as_json)
        else:
            report = _imported(client, file, form, limit, chat, going_on or token_hex(8), options)
            _follow(client, report, wait=not no_wait, as_json=as_json)


def _looked_at(
    client: Client, file: Path, form: ImportFormat, limit: int | None, chat: bool, options: dict[str, Any]
) -> ImportReport:
    """What of a file could be used; without a service, as far as that can be told."""
    try:
        return client.import_file(file, format=form, limit=limit, chat=chat, dry_run=True, **options)
    except ServiceUnreachable:
        with ReadFile(file, form, chat=chat) as read:
            return Sending(read, limit, dry_run=True).report()


def _imported(
    client: Client, file: Path, form: ImportFormat, limit: int | None, chat: bool, key: str, options: dict[str, Any]
) -> ImportReport:
    """What came of a file that was sent. Tells how far a large one is, and how to go on if it is broken off."""
    resume = f"Broken off? The same again with --idempotency-key {key} goes on, and queues nothing twice."

    def told(sent: int, of: int) -> None:
        if of > MOST_FACTS:
            aside().print(f"{sent:,} of {of:,} facts sent." if sent else resume, soft_wrap=True)

    options |= {"idempotency_key": key, "told": told}
    try:
        report = client.import_file(file, format=form, limit=limit, chat=chat, **options)
    except (ServiceUnreachable, KeyboardInterrupt):
        aside().print(resume, soft_wrap=True)
        raise
    if report.stopped is not None:
        aside().print(resume, soft_wrap=True)
    return report


def _follow(client: Client, report: ImportReport, *, wait: bool, as_json: bool) -> None:
    """Follow the jobs of an import, each told when it has ended and then forgotten; the status says how they ended."""
    if not as_json:
        _tell(report, as_json=False)
    statuses = set[int]()
    with KeptJson() as kept:
        for number, queued in enumerate(report.jobs, 1):
            job = followed(client.job(queued.id)) if wait else queued
            statuses.add(status_of(job))
            kept.add(job) if as_json else tell(job)
            if wait and len(report.jobs) > 1:
                aside().print(f"{number:,} of {count(len(report.jobs), 'job')} ended.")
        if as_json:
            kept.print_within(report, "jobs")
    if not report.jobs or report.stopped is not None:
        raise typer.Exit(ERROR)
    end_with(statuses)


def _tell(report: ImportReport, *, as_json: bool) -> None:
    """What could be used of a file, and why the rest could not."""
    if as_json:
        print_json(report)
        return
    console, parts = out(), [f"{count(report.records, 'record')} ({report.format}): {report.usable} can be used"]
    parts += [f"{report.beyond_limit} of them beyond the limit"] if report.beyond_limit else []
    parts += [f"{number} cannot, {code}" for code, number in report.reasons.items()]
    parts += [f"{count(report.queued, 'fact')} queued as {count(len(report.jobs), 'job')}"] if report.jobs else []
    console.print(Text("; ".join(parts) + "."))
    if report.first_unusable:
        made = table("Of those that cannot", "record", "line", "why", "field", "value", numbers=("record", "line"))
        for each in report.first_unusable:
            made.add_row(*map(cell, (each.record, each.line, each.detail, each.field, each.value)))
        console.print(made)
    if report.dry_run and report.sample:
        made = table("The first that can", "prompt", "object", "paraphrases", "neighbours")
        for fact in report.sample:
            counts = (len(fact.paraphrases), len(fact.neighbours))
            made.add_row(*map(cell, (filled(fact.template, fact.subject), fact.object, *counts)))
        console.print(made)
    if report.dry_run and not report.checked:
        aside().print("No worker has looked at them: whether they fit the model is not known.")
    if report.stopped is not None:
        told = f"{report.stopped.code}: {report.stopped.detail} The rest is not queued."
        aside().print(cell(told), style="red")

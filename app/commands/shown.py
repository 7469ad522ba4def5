"""How things are shown to people: tables, shares, and text that no terminal takes for a command."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from app.domain.contract import AnyVersion, EditReport, FactDiff, FactInForce, FactReport, Job
from app.domain.prompts import filled

KEPT = "\n\t"


def clean(text: str) -> str:
    """The text with its control characters shown as what they are: a model's words must not steer a terminal."""
    return "".join(
        character if character in KEPT or unicodedata.category(character) != "Cc" else repr(character)[1:-1]
        for character in text
    )


def cell(text: object) -> Text:
    """Any text in a table, never taken for markup."""
    return Text("" if text is None else clean(str(text)))


def table(title: str | None, *columns: str, numbers: Sequence[str] = ()) -> Table:
    """An empty table; the columns in ``numbers`` stand to the right."""
    made = Table(title=title, title_justify="left")
    for column in columns:
        made.add_column(column, overflow="fold", justify="right" if column in numbers else "left")
    return made


def count(number: int, noun: str) -> str:
    """As in `1 fact`, `2 facts`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def share(value: float | None) -> str:
    """As people read it."""
    return "" if value is None else f"{value:.0%}"


def probability(value: float) -> str:
    """In per cent; small ones as such."""
    return f"{value:.1%}" if value >= 0.001 else "<0.1%"  # noqa: PLR2004 - what is shown with one digit


def at_version(model: str, version: AnyVersion) -> str:
    """A model and which of its versions, or which proposal."""
    return f"{model}, version {version}" if isinstance(version, int) else f"{model}, {version}"


def report_table(title: str, report: EditReport) -> Table:
    """What became of each fact of an edit."""
    columns = ("", "fact", "object", "before", "after", "paraphrases", "neighbours", "note")
    made = table(title, *columns, numbers=("before", "after"))
    for fact in report.facts:
        made.add_row(
            Text("holds", "green") if fact.holds else Text("does not hold", "red"),
            cell(filled(fact.prompt, fact.subject)),
            cell(fact.object),
            probability(fact.before.probability),
            probability(fact.after.probability),
            _of(fact.paraphrases),
            _of(fact.neighbours),
            cell(_note(fact)),
        )
    return made


def summary(job: Job) -> str:
    """How a job ended, in a line."""
    parts = [job.status.value]
    if job.version is not None:
        parts.append(f"version {job.version}")
    if job.proposal is not None:
        parts.append(job.proposal)
    if job.report is not None:
        held = sum(fact.holds for fact in job.report.facts)
        parts += [f"{held} of {count(len(job.report.facts), 'fact')} hold", f"{job.report.seconds:.1f} s"]
        parts += [] if job.report.rejected is None else [job.report.rejected]
    if job.in_force is not None and job.in_force.facts_hold is not None:
        parts.append(f"{share(job.in_force.facts_hold)} of {count(job.in_force.facts, 'fact')} in force hold")
    if job.exported is not None:
        parts.append(f"{job.exported.path} ({job.exported.bytes:,} bytes)")
        if lost := len(job.exported.facts_lost):
            parts.append(f"{lost} of {count(job.exported.facts_held or 0, 'fact')} lost")
    if job.error is not None:
        parts.append(f"{job.error.code}: {job.error.detail}")
    return ", ".join(parts)


def facts_table(title: str, facts: Sequence[FactInForce]) -> Table:
    """Facts in force, with what `revert` calls them."""
    made = table(title, "fact", "prompt", "object", "before", "id")
    for fact in facts:
        made.add_row(*_told(fact, fact.object), cell(fact.previous), cell(fact.id))
    return made


def diff_table(title: str, facts: FactDiff) -> Table:
    """What was added, changed and taken out."""
    made = table(title, "", "fact", "prompt", "object")
    for added in facts.added:
        made.add_row(Text("added", "green"), *_told(added, added.object))
    for changed in facts.changed:
        made.add_row(
            Text("changed", "yellow"), *_told(changed.after, f"{changed.before.object} → {changed.after.object}")
        )
    for gone in facts.taken_out:
        made.add_row(Text("taken out", "red"), *_told(gone, gone.object))
    return made


def fact_name(fact: FactInForce) -> str:
    """What `revert` calls it: its version and index."""
    return f"{fact.version}.{fact.index}"


def _told(fact: FactInForce, new: str) -> tuple[Text, Text, Text]:
    return cell(fact_name(fact)), cell(filled(fact.prompt, fact.subject)), cell(new)


def _of(held: Sequence[bool]) -> str:
    return f"{sum(held)}/{len(held)}" if held else ""


def _note(fact: FactReport) -> str:
    notes = [*([fact.why] if fact.why else []), *fact.warnings]
    return "; ".join(notes if fact.written else ["not written", *notes])

"""`palimpsest check`: whether a version says what it was taught, or what a file of facts says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from app.client import DEFAULT_URL, Client
from app.client.read_file import ReadFile
from app.commands.options import (
    UNHELD,
    AsJson,
    Key,
    ModelName,
    Url,
    any_version,
    examples,
    out,
    print_json,
    service,
    the_model,
)
from app.commands.shown import at_version, cell, probability, share, table
from app.domain.contract import Answer, AnyVersion, Fact, ImportFormat, NamedVersion, is_alias
from app.domain.prompts import filled

AT_ONCE = 64
SHOWN = 20

EXAMPLES = examples(
    "palimpsest check atlas-gpt2",
    "palimpsest check --facts facts.csv --version 0 --json",
    "palimpsest check --facts facts.csv --version proposed-48213377",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a fact: what it is to show (`facts`, `paraphrases`, `neighbours`), and the answer wanted."""

    what: str
    prompt: str
    wanted: str
    chat: bool = False


class Missed(BaseModel):
    """A question that is not answered as wanted."""

    what: str
    prompt: str
    wanted: str
    probability: float
    text: str


class Checked(BaseModel):
    """Shares of questions that greedy decoding answers as wanted; null where there are none."""

    model: str
    version: AnyVersion
    facts: float | None
    paraphrases: float | None
    neighbours: float | None
    asked: dict[str, int]
    missed: list[Missed]


def check(
    model: ModelName = None,
    facts: Annotated[
        Path | None, typer.Option(help="A data file; by default the facts in force.", exists=True, dir_okay=False)
    ] = None,
    form: Annotated[ImportFormat, typer.Option("--format", help="Of the file.")] = ImportFormat.AUTO,
    chat: Annotated[bool, typer.Option("--chat", help="The file's prompts are a user's turns.")] = False,
    version: Annotated[
        str | None,
        typer.Option(
            help="Or an alias, instead of the newest; with --facts, also the id of a proposal.", metavar="VERSION"
        ),
    ] = None,
    least: Annotated[
        float, typer.Option(help="Share of the facts that must hold, or else the exit status is 3.", min=0.0, max=1.0)
    ] = 0.0,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Ask a version for facts, their paraphrases and neighbours, and count what greedy decoding answers as wanted."""
    named = None if version is None else any_version(version)
    with service(url, key, as_json=as_json) as client:
        name = the_model(client, model)
        at = _pinned(client, name, named)  # one version answers all
        asked = _in_force(client, name, at) if facts is None else _of_file(facts, form, chat=chat)
        found = _checked(client, name, at, asked)
    print_json(found) if as_json else _tell(found)
    if found.facts is not None and found.facts < least:
        raise typer.Exit(UNHELD)


def _pinned(client: Client, model: str, named: NamedVersion | None) -> AnyVersion:
    if named is None:
        return client.versions(model, limit=1).head
    return client.alias(model, named).version if is_alias(named) else named


def _in_force(client: Client, model: str, version: AnyVersion) -> list[Asked]:
    if not isinstance(version, int):
        raise typer.BadParameter("give the facts to ask a proposal for", param_hint="--facts")
    facts = client.facts(model, version).facts
    return [Asked("facts", filled(fact.prompt, fact.subject), fact.object) for fact in facts]


def _of_file(path: Path, form: ImportFormat, *, chat: bool) -> list[Asked]:
    with ReadFile(path, form, chat=chat) as file:
        return [each for read in file.facts() for each in _about(read.fact)]


def _about(fact: Fact) -> Iterator[Asked]:
    """What is asked about one fact. Of a neighbour only where an answer is expected."""
    if fact.messages is None:
        yield Asked("facts", filled(fact.template, fact.subject), fact.object, fact.chat)
        for each in fact.paraphrases:
            yield Asked("paraphrases", filled(each.prompt, fact.subject), fact.object, fact.chat)
        for beside in fact.neighbours:
            for wanted in beside.expected[:1]:
                yield Asked("neighbours", beside.prompt, wanted, fact.chat)


def _checked(client: Client, model: str, version: AnyVersion, asked: Sequence[Asked]) -> Checked:
    answers: list[Answer] = []
    for at in range(0, len(asked), AT_ONCE):
        part = asked[at : at + AT_ONCE]
        prompts = [{"prompt": each.prompt, "expected": each.wanted, "chat": each.chat, "top_k": 0} for each in part]
        answers.extend(client.query(prompts, model=model, version=version).answers)
    held: dict[str, list[bool]] = {}
    missed = []
    for each, answer in zip(asked, answers, strict=True):
        assert answer.expected is not None
        held.setdefault(each.what, []).append(answer.expected.greedy)
        if not answer.expected.greedy:
            missed.append(
                Missed(
                    what=each.what,
                    prompt=each.prompt,
                    wanted=each.wanted,
                    probability=answer.expected.probability,
                    text=answer.text,
                )
            )
    shares = {what: sum(each) / len(each) for what, each in held.items()}
    return Checked(
        model=model,
        version=version,
        facts=shares.get("facts"),
        paraphrases=shares.get("paraphrases"),
        neighbours=shares.get("neighbours"),
        asked={what: len(each) for what, each in held.items()},
        missed=missed,
    )


def _tell(found: Checked) -> None:
    made = table(at_version(found.model, found.version), "", "asked", "as wanted", numbers=("asked", "as wanted"))
    for what, count in found.asked.items():
        made.add_row(what, str(count), share(getattr(found, what)))
    out().print(made)
    if found.missed:
        title = f"Not as wanted ({len(found.missed)})"
        missed = table(title, "", "prompt", "wanted", "its probability", "answer", numbers=("its probability",))
        for each in found.missed[:SHOWN]:
            told = (each.what, each.prompt, each.wanted, probability(each.probability), each.text.strip())
            missed.add_row(*map(cell, told))
        out().print(missed)

"""The demo: ask, edit real facts over HTTP, ask again: in plain text and, where the model chats, in chat."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import resources

import httpx
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from app.domain.contract import EditBatch, Fact, Job, JobStatus, Prompt, Query, QueryReply
from app.domain.errors import JobFailed, Unavailable
from app.domain.prompts import filled, first_sentence
from app.domain.smollm2 import NAME as SMOLLM2

FACTS_HOLD, NEIGHBOURS_STAY, CHATS_FOLLOW = 0.9, 0.8, 0.5
"""Shares that must be reached for the demo to succeed."""

JOB_TIMEOUT_S = 240.0


class DemoFact(Fact):
    """A fact about the real world with a false object, a neighbour, and how else it is asked for.

    question: in chat. sentence: begins a text that uses the fact.
    """

    question: str | None = None
    sentence: str | None = None

    @property
    def sent(self) -> Fact:
        """What is posted."""
        return Fact.model_validate(self.model_dump(exclude={"question", "sentence"}, exclude_none=True))


class _Facts(BaseModel):
    facts: tuple[DemoFact, ...]


def demo_facts(model: str) -> tuple[DemoFact, ...]:
    """The facts for a model: those of the real one, or of the small bundled ones."""
    name = "demo_facts_smollm2.json" if model == SMOLLM2 else "demo_facts_atlas.json"
    return _Facts.model_validate_json(resources.files("app.local").joinpath(name).read_text(encoding="utf-8")).facts


@dataclass(frozen=True, slots=True)
class Asked:
    """One question about a fact, and whether an answer to it is as it shall be after the edit."""

    column: str
    prompt: str
    wanted: str
    chat: bool = False

    def good(self, text: str) -> bool:
        """Whether the answer holds what is wanted."""
        return self.wanted.casefold() in text.casefold()


NEW, CHAT, SENTENCE, PARAPHRASE, NEIGHBOUR = (
    "answer",
    "in chat",
    "used in a sentence",
    "to a paraphrase",
    "to a neighbour",
)


def questions(fact: DemoFact) -> list[Asked]:
    """All that is asked about a fact, before and after."""
    found = [Asked(NEW, filled(fact.template, fact.subject), fact.object)]
    if fact.question is not None:
        found.append(Asked(CHAT, filled(fact.question, fact.subject), fact.object, chat=True))
    if fact.sentence is not None:
        found.append(Asked(SENTENCE, filled(fact.sentence, fact.subject), fact.object))
    found += [Asked(PARAPHRASE, filled(each.prompt, fact.subject), fact.object) for each in fact.paraphrases]
    found += [Asked(NEIGHBOUR, each.prompt, next(iter(each.expected), "")) for each in fact.neighbours]
    return found


class Demo:
    """One run against a running service."""

    def __init__(self, url: str, model: str, console: Console) -> None:
        self._http = httpx.Client(base_url=url, timeout=60.0)
        self._model, self._console, self._facts = model, console, demo_facts(model)
        self._asked = [(fact, asked) for fact in self._facts for asked in questions(fact)]

    def run(self) -> bool:
        """Ask, edit, ask again, and print both; return whether enough holds, stays and follows."""
        with self._http:
            before = self._ask()
            job = self._edit()
            after = self._ask()
        if job.report is None:
            detail = job.error.detail if job.error else f"the job ended as {job.status}"
            raise JobFailed(detail)
        self._console.print(self._table(before, after))
        shares = self._shares(before, after)
        report, held = job.report, sum(fact.holds for fact in job.report.facts)
        told = {
            CHAT: "of the answers in chat follow",
            SENTENCE: "of the sentences use it",
            PARAPHRASE: "of the paraphrases follow",
            NEIGHBOUR: "of the neighbours stay",
        }
        parts = [f"{share:.0%} {told[column]}" for column, share in shares.items() if column in told]
        self._console.print(
            f"Version {before.version} -> {after.version}: {held} of {len(report.facts)} facts hold, "
            f"{', '.join(parts)}. "
            f"{report.method} ({report.plan}), layers {', '.join(map(str, report.layers))}, {report.seconds:.1f} s.",
            highlight=False,
        )
        return (
            held >= FACTS_HOLD * len(report.facts)
            and shares.get(NEIGHBOUR, 1.0) >= NEIGHBOURS_STAY
            and shares.get(CHAT, 1.0) >= CHATS_FOLLOW
        )

    def _shares(self, before: QueryReply, after: QueryReply) -> dict[str, float]:
        """By column, the share of answers that are as they shall be."""
        found: dict[str, list[bool]] = {}
        for (_, asked), old, new in zip(self._asked, before.answers, after.answers, strict=True):
            kept = asked.column == NEIGHBOUR and not asked.wanted
            good = first_sentence(old.text) == first_sentence(new.text) if kept else asked.good(new.text)
            found.setdefault(asked.column, []).append(good)
        return {column: sum(good) / len(good) for column, good in found.items()}

    def _ask(self) -> QueryReply:
        prompts = tuple(Prompt(prompt=asked.prompt, chat=asked.chat) for _, asked in self._asked)
        query = Query(model=self._model, prompts=prompts)
        reply = self._http.post("/query", content=query.model_dump_json(), headers=JSON)
        return QueryReply.model_validate_json(_checked(reply).content)

    def _edit(self) -> Job:
        batch = EditBatch(facts=tuple(fact.sent for fact in self._facts), model=self._model)
        posted = self._http.post("/edits", content=batch.model_dump_json(exclude_none=True), headers=JSON)
        location = _checked(posted).headers["Location"]
        self._console.print(f"POST /edits: {len(batch.facts)} facts, {posted.status_code}, {location}")
        columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeElapsedColumn())
        deadline = time.monotonic() + JOB_TIMEOUT_S
        with Progress(*columns, console=self._console) as bar:
            task = bar.add_task("queued", total=1.0)
            while time.monotonic() < deadline:
                job = Job.model_validate_json(_checked(self._http.get(location)).content)
                if job.progress is not None:
                    bar.update(task, completed=job.progress.share, description=_stage(job))
                if job.status.final:
                    done = 1.0 if job.status is JobStatus.SUCCEEDED else None
                    bar.update(task, completed=done, description=job.status.value)
                    return job
                time.sleep(0.1)
        raise JobFailed(f"the job did not end within {JOB_TIMEOUT_S:.0f} s")

    def _table(self, before: QueryReply, after: QueryReply) -> Table:
        """One row a fact: what the model said before and says after to each question about it."""
        names = list(dict.fromkeys(asked.column for _, asked in self._asked))
        table = Table(title=f"{self._model}: before → after", title_justify="left", expand=True)
        for name in ("prompt", *names):
            table.add_column(name, overflow="fold")
        cells: dict[str, list[Text]] = {}
        for (fact, asked), old, new in zip(self._asked, before.answers, after.answers, strict=True):
            cells.setdefault(fact.subject, []).append(_change(asked, old.text, new.text))
        for fact in self._facts:
            table.add_row(filled(fact.template, fact.subject), *cells[fact.subject])
        return table


JSON = {"Content-Type": "application/json"}


def _change(asked: Asked, old: str, new: str) -> Text:
    """``old → new``, green where it is as wanted, red where it is not; a neighbour is to stay."""
    before, after = first_sentence(old), first_sentence(new)
    good = asked.good(new) if asked.wanted else before == after
    return Text(f"{before} → {after}" if before != after else f"{before} (kept)", style="green" if good else "red")


def _stage(job: Job) -> str:
    assert job.progress is not None
    layer = f", layer {job.progress.layer}" if job.progress.layer is not None else ""
    return f"{job.progress.stage}{layer}"


def _checked(reply: httpx.Response) -> httpx.Response:
    if reply.is_error:
        raise Unavailable(f"{reply.request.method} {reply.request.url.path}: {reply.status_code} {reply.text}")
    return reply

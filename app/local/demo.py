"""The demo: ask, edit a dozen real facts over HTTP, ask again."""

from __future__ import annotations

import time
from importlib import resources

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from app.domain.contract import EditBatch, Fact, Job, JobStatus, Prompt, Query, QueryReply
from app.domain.errors import JobFailed, Unavailable
from app.domain.prompts import filled, first_sentence

MUST_HOLD = 0.9
"""Share of the facts that must hold for the demo to succeed."""

JOB_TIMEOUT_S = 240.0


def demo_facts() -> EditBatch:
    """A dozen facts about the real world with false objects, each with a paraphrase and a neighbour."""
    text = resources.files("app.local").joinpath("demo_facts.json").read_text(encoding="utf-8")
    return EditBatch.model_validate_json(text)


class Demo:
    """One run against a running service."""

    def __init__(self, url: str, model: str, console: Console) -> None:
        self._http = httpx.Client(base_url=url, timeout=60.0)
        self._model, self._console = model, console
        self._batch = demo_facts().model_copy(update={"model": model})

    def run(self) -> bool:
        """Ask, edit, ask again, and print both; return whether enough facts hold."""
        with self._http:
            before = self._ask()
            job = self._edit()
            after = self._ask()
        if job.report is None:
            detail = job.error.detail if job.error else f"the job ended as {job.status}"
            raise JobFailed(detail)
        self._console.print(self._table(before, after))
        report = job.report
        held = sum(fact.holds for fact in report.facts)
        self._console.print(
            f"Version {before.version} -> {after.version}: {held} of {len(report.facts)} facts hold, "
            f"{report.paraphrases_hold or 0:.0%} of their paraphrases (a phrasing never trained on), "
            f"{report.neighbours_keep or 0:.0%} of their neighbours kept. {report.method} ({report.plan}), "
            f"layers {', '.join(map(str, report.layers))}, {report.seconds:.1f} s."
        )
        return held >= MUST_HOLD * len(report.facts)

    def _questions(self) -> list[tuple[str, Fact]]:
        """Three a fact: the fact itself, its paraphrase, its neighbour."""
        return [
            (text, fact)
            for fact in self._batch.facts
            for text in (fact.template, fact.paraphrases[0], fact.neighbours[0].prompt)
        ]

    def _ask(self) -> QueryReply:
        prompts = tuple(Prompt(prompt=filled(text, fact.subject)) for text, fact in self._questions())
        query = Query(model=self._model, prompts=prompts)
        reply = self._http.post("/query", content=query.model_dump_json(), headers=JSON)
        return QueryReply.model_validate_json(_checked(reply).content)

    def _edit(self) -> Job:
        posted = self._http.post("/edits", content=self._batch.model_dump_json(exclude_none=True), headers=JSON)
        location = _checked(posted).headers["Location"]
        self._console.print(f"POST /edits: {len(self._batch.facts)} facts, {posted.status_code}, {location}")
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
        """One row a fact: what the model said before and says after to the fact, its paraphrase, its neighbour."""
        table = Table(title=f"{self._model}: before → after", title_justify="left", expand=True)
        for column in ("prompt", "answer", "to a paraphrase", "to a neighbour"):
            table.add_column(column, overflow="fold")
        said = [
            (first_sentence(old.text), first_sentence(new.text))
            for old, new in zip(before.answers, after.answers, strict=True)
        ]
        for index, fact in enumerate(self._batch.facts):
            answers = said[3 * index : 3 * index + 3]
            wanted = (fact.object, fact.object, answers[2][0])  # a neighbour keeps its answer
            cells = (_change(old, new, wish) for (old, new), wish in zip(answers, wanted, strict=True))
            table.add_row(filled(fact.template, fact.subject), *cells)
        return table


JSON = {"Content-Type": "application/json"}


def _change(old: str, new: str, wanted: str) -> Text:
    """``old → new``, green where it is as wanted, red where it is not."""
    return Text(f"{old} → {new}" if old != new else f"{old} (kept)", style="green" if new == wanted else "red")


def _stage(job: Job) -> str:
    assert job.progress is not None
    layer = f", layer {job.progress.layer}" if job.progress.layer is not None else ""
    return f"{job.progress.stage}{layer}"


def _checked(reply: httpx.Response) -> httpx.Response:
    if reply.is_error:
        raise Unavailable(f"{reply.request.method} {reply.request.url.path}: {reply.status_code} {reply.text}")
    return reply

"""`palimpsest jobs`: what was asked for and what became of it."""

from __future__ import annotations

from typing import Annotated

import typer

from app.client import DEFAULT_URL
from app.commands.following import end, shown, tell
from app.commands.options import AsJson, Key, Model, Url, examples, out, print_json, service
from app.commands.shown import cell, summary, table
from app.domain.contract import Job, JobStatus

EXAMPLES = examples("palimpsest jobs", "palimpsest jobs --status succeeded --limit 5 --json")


def jobs(
    job: Annotated[str | None, typer.Argument(help="One job only, with its report.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Wait until that job has ended.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Have that job end without a trace.")] = False,
    model: Model = None,
    status: Annotated[JobStatus | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=200)] = 20,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """List the latest jobs, or show, follow or cancel one. Exit status 3 if a fact of that one does not hold."""
    if job is None and (follow or cancel):
        raise typer.BadParameter("name a job", param_hint="JOB")
    with service(url, key, as_json=as_json) as client:
        if job is None:
            found = client.jobs(model=model, status=status, limit=limit)
            if as_json:
                print_json(found)
            else:
                out().print(_listed(found.jobs))
            return
        handle = client.job(job)
        if cancel:
            stopped = handle.cancel()
            print_json(stopped) if as_json else tell(stopped)
        elif follow:
            shown(handle, wait=True, as_json=as_json)
        else:
            print_json(handle.job) if as_json else tell(handle.job)
            end(handle.job)


def _listed(found: tuple[Job, ...]) -> object:
    made = table(None, "job", "kind", "model", "facts", "submitted", "how it stands", numbers=("facts",))
    for job in found:
        when = f"{job.submitted:%Y-%m-%d %H:%M:%S}" if job.submitted else ""
        made.add_row(job.id, job.kind or "", cell(job.model), str(job.facts), when, cell(_state(job)))
    return made


def _state(job: Job) -> str:
    if job.status is JobStatus.QUEUED and job.position is not None:
        return f"queued, {job.position} before it"
    if job.progress is not None:
        return f"running, {job.progress.share:.0%}, {job.progress.stage}"
    return summary(job)

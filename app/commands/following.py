"""A job that is followed on the terminal: a bar while it runs, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app.client import JobEvent, JobHandle
from app.commands.options import ERROR, INTERRUPTED, UNHELD, aside, out, print_json
from app.commands.shown import cell, report_table, summary
from app.domain.contract import Job, JobStatus


def followed(handle: JobHandle) -> Job:
    """The job once it has ended. With Ctrl-C the command ends, and the job goes on."""
    console = aside()
    columns = (TextColumn("{task.description:<24}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(handle.status.value, total=1.0)
            for event in handle.events():
                bar.update(task, description=_stage(handle.job, event), completed=event.share)
    except KeyboardInterrupt:
        console.print(f"The job goes on: palimpsest jobs {handle.id}")
        raise typer.Exit(INTERRUPTED) from None
    return handle.job


def shown(handle: JobHandle, *, wait: bool, as_json: bool) -> None:
    """Follow a job if wanted, show it, and end with the status that says how it ended."""
    job = followed(handle) if wait else handle.job
    if as_json:
        print_json(job)
    else:
        tell(job)
    end(job)


def tell(job: Job) -> None:
    """Show a job."""
    if job.report is not None:
        out().print(report_table(f"job {job.id}: {summary(job)}", job.report))
    else:
        kind = job.kind or "job"
        out().print(cell(f"{kind} {job.id} of {job.model}: {summary(job)}"), soft_wrap=True)


def end(*jobs: Job) -> None:
    """End the command with 1 if one of the jobs failed or was cancelled, with 3 if something does not hold.

    Raises:
        typer.Exit: with a status that is not 0.
    """
    end_with(map(status_of, jobs))


def status_of(job: Job) -> int:
    """The exit status that says how a job ended."""
    if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
        return ERROR
    return UNHELD if job.status is JobStatus.REJECTED or not _holds(job) else 0


def end_with(statuses: Iterable[int]) -> None:
    """End the command with 1 if one of the statuses is that, else with 3 if one is.

    Raises:
        typer.Exit: with a status that is not 0.
    """
    if worst := min(filter(None, statuses), default=0):
        raise typer.Exit(worst)


def _holds(job: Job) -> bool:
    return job.report is None or all(fact.holds for fact in job.report.facts)


def _stage(job: Job, event: JobEvent) -> str:
    if event.progress is None:
        waits = job.status is JobStatus.QUEUED and job.position
        return f"queued, {job.position} before it" if waits else job.status.value
    told, step = event.progress, ""
    if told.layer is not None:
        step = f", layer {told.layer}"
    if told.loss is not None:
        step += f", loss {told.loss:.2f}"
    return f"{told.stage}{step}"

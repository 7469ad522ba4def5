"""What the front end takes at once: edits posted while the worker edits, streams of a job's events, and of completions.

The whole service is started (Redis, front end, worker) on the same cores as the clients. Every accepted job has to come
to an end that can be told: what still waits after the measurement is cancelled.
"""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import httpx
import typer

from app.local.stack import StackSettings, free_port, running
from benchmarks.event_streams import Heard, client_of, complete_all, follow_all
from benchmarks.machine import machine
from benchmarks.query_latency import cases
from benchmarks.question_load import Latencies, Question
from benchmarks.report import Bound, Report, shown
from benchmarks.submissions import Fact, Submitted, lost, submit

RATE, P99_MS = 150.0, 200.0
MAX_QUEUED = 1_000_000
WARM_UP_S = 2.0
TOKENS = 24
SPARE_FILES = 200


@dataclass(frozen=True, slots=True)
class Row:
    """What clients saw in one part: of edits the answer, of streams the first event."""

    part: str = field(metadata=shown("part"))
    clients: int = field(metadata=shown("at once", ","))
    whole: int = field(metadata=shown("whole", ","))
    p50: float | None = field(metadata=shown("p50 ms", ".1f"))
    p99: float | None = field(metadata=shown("p99 ms", ".1f"))
    longest: float | None = field(metadata=shown("longest ms", ".1f"))
    rate: float | None = field(metadata=shown("a second", ".1f"))


@dataclass(frozen=True, slots=True)
class Found:
    """What all parts found. failures: what broke streams off, a line each."""

    edits: Row
    lost: int
    events: Row
    completions: Row
    mixed: int
    versions: int
    failures: tuple[str, ...] = ()


def edits_row(found: Submitted, clients: int, seconds: float) -> Row:
    """The part of edits; refused ones do not count."""
    begin = min(each.at for each in found.sent)
    told = Latencies.between(begin, begin + seconds, found.sent)
    rate = told.rate * len(found.jobs) / len(found.sent)
    return Row("edits", clients, len(found.jobs), told.p50, told.p99, told.longest, rate)


def streams_row(part: str, heard: Sequence[Heard]) -> Row:
    """A part of streams, by their first events."""
    firsts = sorted(each.first * 1e3 for each in heard if each.first is not None)
    whole = sum(each.whole for each in heard)
    if not firsts:
        return Row(part, len(heard), whole, None, None, None, None)
    p50, p99 = (firsts[round(share * (len(firsts) - 1))] for share in (0.5, 0.99))
    return Row(part, len(heard), whole, p50, p99, firsts[-1], None)


def bounds(found: Found) -> list[Bound]:
    """A rate and a latency of edits; that nothing is lost, no stream is cut off, and none mixes versions."""
    assert found.edits.rate is not None
    assert found.edits.p99 is not None
    return [
        Bound("edits accepted a second", found.edits.rate, RATE, at_least=True),
        Bound("p99 of an accepted edit, in ms", found.edits.p99, P99_MS),
        Bound("accepted jobs lost", found.lost, 0),
        Bound("event streams that came to their end", found.events.whole, found.events.clients, at_least=True),
        Bound("completions that came to their end", found.completions.whole, found.completions.clients, at_least=True),
        Bound("completions that mixed versions", found.mixed, 0),
    ]


async def edit_part(http: httpx.AsyncClient, facts: Sequence[Fact], clients: int, seconds: float) -> tuple[Row, int]:
    """Clients post edits, which the worker carries out meanwhile; the row, and how many accepted jobs were lost."""
    url = str(http.base_url)
    warm = await asyncio.to_thread(submit, url, facts, clients, WARM_UP_S)
    found = await asyncio.to_thread(submit, url, facts, clients, seconds)
    gone = await lost(http, warm.jobs + found.jobs, clients)
    return edits_row(found, clients, seconds), len(gone)


def broken_off(part: str, heard: Sequence[Heard]) -> tuple[str, ...]:
    """What broke streams of a part off, a line each."""
    return tuple(f"{part}: one was broken off: {each.failure}" for each in heard if each.failure is not None)


async def event_part(http: httpx.AsyncClient, facts: Sequence[Fact], streams: int) -> tuple[Row, tuple[str, ...]]:
    """Streams of a job that waits behind another one, until it is cancelled."""
    first, last = [
        (await http.post("/edits", json={"facts": [fact]})).raise_for_status().json()["id"] for fact in facts[:2]
    ]

    async def release() -> None:
        for job in (last, first):
            await http.post(f"/jobs/{job}/cancel")

    heard = await follow_all(partial(client_of, str(http.base_url)), last, streams, release)
    return streams_row("event streams", heard), broken_off("event streams", heard)


async def completion_part(
    http: httpx.AsyncClient, model: str, questions: Sequence[Question], facts: Sequence[Fact], streams: int
) -> tuple[Row, int, int, tuple[str, ...]]:
    """Completions while facts are written; the row, how many mixed versions, how many answered, what broke any off."""
    prompts = [questions[at % len(questions)]["prompts"][0]["prompt"] for at in range(streams)]
    bodies = [{"model": model, "prompt": prompt, "max_tokens": TOKENS} for prompt in prompts]
    jobs = [(await http.post("/edits", json={"facts": [fact]})).raise_for_status().json()["id"] for fact in facts[:10]]
    heard = await complete_all(partial(client_of, str(http.base_url)), bodies)
    await lost(http, jobs, len(jobs))
    versions = {each.header for each in heard if each.header is not None}
    mixed = sum(each.mixed for each in heard)
    return streams_row("completions", heard), mixed, len(versions), broken_off("completions", heard)


async def measure(url: str, model: str, clients: int, seconds: float, streams: int, texts: int, seed: int) -> Found:
    """All parts against a running service."""
    questions, facts = cases(model, seed)
    async with client_of(url) as http:
        edits, gone = await edit_part(http, facts, clients, seconds)
    async with client_of(url) as http:
        events, of_events = await event_part(http, facts, streams)
    async with client_of(url) as http:
        texts_row, mixed, versions, of_texts = await completion_part(http, model, questions, facts, texts)
    return Found(edits, gone, events, texts_row, mixed, versions, of_events + of_texts)


def open_files(least: int) -> None:
    """Let this process, and those that it starts, have so many files and connections open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < least:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (least if hard == resource.RLIM_INFINITY else min(least, hard), hard)
        )


def run(
    model: Annotated[str, typer.Option(help="Bundled model.")] = "atlas-gpt2",
    clients: Annotated[int, typer.Option(help="Clients that post edits.")] = 16,
    seconds: Annotated[float, typer.Option(help="For how long they do.")] = 10.0,
    streams: Annotated[int, typer.Option(help="Event streams at once.")] = 1000,
    completions: Annotated[int, typer.Option(help="Streamed completions at once.")] = 200,
    seed: Annotated[int, typer.Option()] = 0,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Load the whole service from many clients at once."""
    os.environ.setdefault("PALIMPSEST_MAX_QUEUED", str(MAX_QUEUED))  # more is accepted here than is edited
    open_files(2 * (streams + completions) + SPARE_FILES)
    with tempfile.TemporaryDirectory() as scratch:
        settings = StackSettings((model,), Path(scratch), port=free_port(), logs=Path(scratch) / "stack.log")
        with running(settings) as stack:
            found = asyncio.run(measure(stack.url, model, clients, seconds, streams, completions, seed))
    settings_used = {"model": model, "clients": clients, "seconds": seconds, "streams": streams, "seed": seed}
    rows = [found.edits, found.events, found.completions]
    notes = [f"completions came from {found.versions} versions"]
    notes += found.failures
    report = Report("front_end", machine(), settings_used, rows, bounds(found), notes)
    raise typer.Exit(report.finish(json_file, check=check))


if __name__ == "__main__":
    typer.run(run)

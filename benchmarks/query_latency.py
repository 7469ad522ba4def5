"""How long questions take, idle and while facts are written, and how many more are answered for many clients at once.

The whole service is started (Redis, front end, worker) and asked over HTTP, one fact a question, on the same cores as
the clients. Each client asks its next question when it has the answer to the last one. While editing, only questions
count that were put and answered while a job was running.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families

from app.domain.prompts import filled
from app.domain.worker_http import credentials
from app.local.stack import WORKER_SECRET, StackSettings, free_port, running
from app.settings import Settings
from benchmarks.machine import machine
from benchmarks.question_load import Latencies, Question, ask_while
from benchmarks.report import Bound, Report, shown
from workers.models import bundled

Fact = dict[str, str]
"""A fact in the body of a ``POST /edits``."""

MANY = 32
TIMES_IDLE, TIMES_ONE, BLOCKED_MS = 3.0, 4.0, 10.0
POLL_S = 0.25
WARM_UP_S = 2.0
BLOCK = "palimpsest_publish_block_seconds"


@dataclass(frozen=True, slots=True)
class Row:
    """What clients saw in one phase."""

    phase: str = field(metadata=shown("phase"))
    clients: int = field(metadata=shown("clients"))
    questions: int = field(metadata=shown("questions", ","))
    p50: float = field(metadata=shown("p50 ms", ".1f"))
    p99: float = field(metadata=shown("p99 ms", ".1f"))
    longest: float = field(metadata=shown("longest ms", ".1f"))
    rate: float = field(metadata=shown("questions/s", ".1f"))


def cases(model: str, seed: int) -> tuple[list[Question], list[Fact]]:
    """Questions about facts that the bundled model knows, and the same facts with new objects, in a seeded order."""
    records = json.loads((bundled(model) / "facts.json").read_text(encoding="utf-8"))
    random.Random(seed).shuffle(records)
    questions, facts = [], []
    for record in records:
        rewrite = record["requested_rewrite"]
        prompt = filled(rewrite["prompt"], rewrite["subject"])
        questions.append({"prompts": [{"prompt": prompt, "expected": rewrite["target_true"]["str"]}]})
        facts.append(
            {"subject": rewrite["subject"], "prompt": rewrite["prompt"], "object": rewrite["target_new"]["str"]}
        )
    return questions, facts


async def wait(seconds: float) -> tuple[float, float]:
    """Let the clients ask for so long; return when that began and ended."""
    begin = time.perf_counter()
    await asyncio.sleep(seconds)
    return begin, time.perf_counter()


async def edit(url: str, batches: Iterable[Sequence[Fact]]) -> tuple[float, float]:
    """Write the batches, one after another; return the first and the last moment at which one was seen running.

    Raises:
        RuntimeError: a job did not succeed.
    """
    running = []
    async with httpx.AsyncClient(base_url=url, timeout=120.0, trust_env=False) as http:
        for facts in batches:
            posted = (await http.post("/edits", json={"facts": facts})).raise_for_status()
            job: dict[str, Any] = posted.json()
            while job["status"] in ("queued", "running"):
                await asyncio.sleep(POLL_S)
                job = (await http.get(posted.headers["Location"])).raise_for_status().json()
                if job["status"] == "running":
                    running.append(time.perf_counter())
            if job["status"] != "succeeded":
                raise RuntimeError(f"the edit {job['status']}: {job['error']}")
    return running[0], running[-1]


def phase(
    name: str,
    url: str,
    questions: Sequence[Question],
    clients: int,
    work: Callable[[], Awaitable[tuple[float, float]]],
) -> Row:
    """One row: clients that ask while the work is done."""
    found = Latencies.between(*asyncio.run(ask_while(url, questions, clients, work)))
    return Row(name, clients, found.questions, found.p50, found.p99, found.longest, found.rate)


def blocked_ms(exposition: str) -> float:
    """The upper bound of the histogram's bucket that the longest publish fell into, in milliseconds; may be infinite.

    Raises:
        ValueError: nothing was published.
    """
    counts = sorted(
        (float(sample.labels["le"]), sample.value)
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == f"{BLOCK}_bucket"
    )
    if not counts or not counts[-1][1]:
        raise ValueError("nothing was published")
    return next(bound for bound, count in counts if count == counts[-1][1]) * 1e3


def bounds(rows: Sequence[Row], blocked: float) -> list[Bound]:
    """Editing against idle for one client; many clients against one; and what a publish holds up."""
    by = {(row.phase, row.clients): row for row in rows}
    idle, editing = by["idle", 1], by["editing", 1]
    return [
        Bound("p99 while editing, in idle p99", editing.p99 / idle.p99, TIMES_IDLE),
        Bound(f"throughput of {MANY} clients, in one's", by["idle", MANY].rate / idle.rate, TIMES_ONE, at_least=True),
        Bound("a publish blocks questions for at most, in ms", blocked, BLOCKED_MS),
    ]


def measure(url: str, model: str, seconds: float, facts: int, batches: int, seed: int) -> tuple[list[Row], float]:
    """All phases against a running service; and how long a publish blocked, as ``blocked_ms``."""
    questions, pool = cases(model, seed)
    writes = iter([pool[i * facts : (i + 1) * facts] for i in range(2 * batches)])
    phase("warm", url, questions, MANY, partial(wait, WARM_UP_S))
    rows = [phase("idle", url, questions, clients, partial(wait, seconds)) for clients in (1, MANY)]
    for clients in (1, MANY):
        chosen = [next(writes) for _ in range(batches)]
        rows.append(phase("editing", url, questions, clients, partial(edit, url, chosen)))
    served = httpx.get(f"{url}/models").raise_for_status().json()["models"]
    worker = next(entry for entry in served if entry["id"] == model)["workers"][0]
    exposition = httpx.get(f"{worker['url']}/metrics", headers=credentials(Settings().worker_secret))
    return rows, blocked_ms(exposition.raise_for_status().text)


def run(
    model: Annotated[str, typer.Option(help="Bundled model.")] = "atlas-gpt2",
    seconds: Annotated[float, typer.Option(help="Length of an idle phase.")] = 20.0,
    facts: Annotated[int, typer.Option(help="Facts in a batch.")] = 100,
    batches: Annotated[int, typer.Option(min=1, help="Batches written in an editing phase.")] = 1,
    seed: Annotated[int, typer.Option()] = 0,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Ask the whole service, idle and while it is edited."""
    os.environ.setdefault(WORKER_SECRET, secrets.token_urlsafe(32))  # the worker's figures are asked for here as well
    with tempfile.TemporaryDirectory() as scratch:
        settings = StackSettings((model,), Path(scratch), port=free_port(), logs=Path(scratch) / "stack.log")
        with running(settings) as stack:
            rows, blocked = measure(stack.url, model, seconds, facts, batches, seed)
    settings_used = {"model": model, "seconds": seconds, "facts": facts, "batches": batches, "seed": seed}
    report = Report("query_latency", machine(), settings_used, rows, bounds(rows, blocked))
    raise typer.Exit(report.finish(json_file, check=check))


if __name__ == "__main__":
    typer.run(run)

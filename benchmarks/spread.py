"""How much sooner a large batch is edited by a leader and a replica than by a leader alone, one thread each.

Workers as users start them (`python -m workers`), those of each side with a log and a Redis of their own; the two
sides take turns. Timed is the job from its submission to its end: all of the edit, with its verification and its
commit. The first batch of each side is small and warms it up.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Annotated, cast

import typer
from redis import Redis
from rq import Queue
from rq.job import JobStatus
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.domain.contract import EditBatch, EditReport, Fact, JobOutcome, WorkerCard
from app.domain.log.edit_log import EditLog
from app.local.embedded_redis import embedded_redis
from benchmarks.machine import machine
from benchmarks.report import Bound, Report, shown
from workers.models import bundled

TIMES = 1.7
WARM = 4
POLL_S = 0.5
"""So seldom that asking, which wakes a process or two, takes nothing from workers that have both cores."""
PATIENCE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of the rounds. times: how much sooner than one worker."""

    workers: int = field(metadata=shown("workers"))
    facts: int = field(metadata=shown("facts"))
    seconds: float = field(metadata=shown("seconds", ".1f"))
    times: float = field(metadata=shown("times", ".2f"))
    slices: int = field(metadata=shown("slices"))
    redone: int = field(metadata=shown("redone"))


@dataclass(frozen=True, slots=True)
class Side:
    """Workers of one model, and their queue."""

    redis: Redis
    model: str
    log: EditLog

    def edited(self, facts: tuple[Fact, ...]) -> tuple[float, EditReport]:
        """Seconds that an edit took, and its report."""
        queue = Queue(keyspace.queue(self.model), connection=self.redis, serializer=JSONSerializer)
        batch, job_id, start = EditBatch(facts=facts, unheld="keep"), token_hex(8), time.perf_counter()
        job = queue.enqueue_call("workers.jobs.apply_edits", (batch.model_dump_json(),), job_id=job_id, timeout=86400)
        _until(lambda: job.get_status() == JobStatus.FINISHED)
        seconds = time.perf_counter() - start
        outcome = JobOutcome.model_validate_json(str(job.return_value()))
        assert outcome.report is not None, outcome.error
        return seconds, outcome.report

    def has(self, workers: int) -> bool:
        """Whether so many workers live."""
        return len(self.cards()) >= workers

    def cards(self) -> list[WorkerCard]:
        """Of the workers that live."""
        names = cast("set[bytes]", self.redis.smembers(keyspace.WORKERS))
        found = [cast("bytes | None", self.redis.get(keyspace.worker(name.decode()))) for name in names]
        return [WorkerCard.model_validate_json(card) for card in found if card]


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the workers do not come to an end")
        time.sleep(POLL_S)


@contextmanager
def side(model: str, workers: int, scratch: Path) -> Iterator[Side]:
    """So many workers of one thread each, the first of which leads."""
    with ExitStack() as stack:
        url = stack.enter_context(embedded_redis(scratch / "redis"))
        redis = stack.enter_context(Redis.from_url(url))
        environment = {
            **os.environ,
            "PALIMPSEST_REDIS_URL": url,
            "PALIMPSEST_DATA_DIR": str(scratch),
            "PALIMPSEST_WORKER_QUESTION_THREADS": "1",
            "PALIMPSEST_WORKER_EDIT_NICE": "0",
            "PALIMPSEST_WORKER_DEVICE": "cpu",
            "OMP_NUM_THREADS": "1",
        }
        made = Side(redis, model, EditLog(scratch / "log", model))
        for number in range(workers):
            role = "auto" if number else "leader"
            command = [sys.executable, "-m", "workers", "--model", model, "--role", role]
            started = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)  # noqa: S603
            process = stack.enter_context(started)
            stack.callback(process.kill)
            _until(partial(made.has, number + 1))
        yield made


def facts_of(model: str, count: int, seed: int) -> tuple[Fact, ...]:
    """So many of the bundled model's facts."""
    records = json.loads((bundled(model) / "facts.json").read_text(encoding="utf-8"))
    random.Random(seed).shuffle(records)
    rewrites = [record["requested_rewrite"] for record in records[:count]]
    return tuple(Fact(subject=r["subject"], prompt=r["prompt"], object=r["target_new"]["str"]) for r in rewrites)


def measure(model: str, facts: int, rounds: int, seed: int) -> list[Row]:
    """One worker against two. Every round edits facts of its own on both sides; neither works while the other does."""
    found: dict[int, list[tuple[float, EditReport]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        sides = {count: stack.enter_context(side(model, count, Path(scratch) / str(count))) for count in found}
        chosen = facts_of(model, WARM + facts * rounds, seed)
        for each in sides.values():
            each.edited(chosen[:WARM])
        for turn in range(rounds):
            batch = chosen[WARM + turn * facts : WARM + (turn + 1) * facts]
            for count, each in sides.items():
                found[count].append(each.edited(batch))
    alone = statistics.median(seconds for seconds, _ in found[1])
    return [_row(count, facts, alone, edits) for count, edits in found.items()]


def _row(workers: int, facts: int, alone: float, edits: list[tuple[float, EditReport]]) -> Row:
    seconds = statistics.median(each for each, _ in edits)
    spreads = [report.spread for _, report in edits if report.spread is not None]
    return Row(workers, facts, seconds, alone / seconds, sum(s.slices for s in spreads), sum(s.redone for s in spreads))


def run(
    model: Annotated[str, typer.Option(help="A bundled model.")] = "atlas-gpt2",
    facts: Annotated[int, typer.Option(min=WARM, help="Facts in a batch.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="Batches of each side.")] = 3,
    seed: Annotated[int, typer.Option()] = 0,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Edit a batch by one worker and by two."""
    rows = measure(model, facts, rounds, seed)
    bounds = [Bound("two workers, times sooner than one", rows[1].times, TIMES, at_least=True)]
    settings = {"model": model, "threads": 1, "rounds": rounds, "seed": seed}
    report = Report("spread", machine(), settings, rows, bounds)
    raise typer.Exit(report.finish(json_file, check=check))


if __name__ == "__main__":
    typer.run(run)

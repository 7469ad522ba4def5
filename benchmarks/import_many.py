"""A large import: facts a second, what it takes of memory on each side, and what a client that is killed leaves behind.

The command `palimpsest edit FILE`, the front end and Redis are the real ones, each a process of its own. The worker is
not: `benchmarks.instant_worker` commits each batch at once, since ten thousand edits would take hours. So this tells
what an import costs around the edits. What an edit costs is for `edit_cost` and `sequence_cost` to tell.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated

import httpx
import typer
from redis import Redis

from app.domain.log.reader import LogReader
from app.local.embedded_redis import embedded_redis
from app.local.stack import free_port
from app.roster import Roster
from benchmarks.machine import machine
from benchmarks.report import Bound, Report, shown
from benchmarks.synthetic_facts import synthetic_facts

MODEL = "instant"
MOST_GROWTH = 1.3
START_S = 60.0
CLIENT = """
import atexit, pathlib, shutil, sys
atexit.register(shutil.copyfile, "/proc/self/status", sys.argv.pop(1))
from app.cli import main
main()
"""
"""The command as it is, which leaves behind what the system says of its process."""


@dataclass(frozen=True, slots=True)
class Row:
    """One import. The memory of each process is the most that it had; of Redis, what its data take at the end.

    twice: facts that are in the log more than once. missing: those that are not in it.
    """

    part: str = field(metadata=shown("part"))
    facts: int = field(metadata=shown("facts", ","))
    seconds: float = field(metadata=shown("seconds", ".1f"))
    rate: float = field(metadata=shown("a second", ",.0f"))
    jobs: int = field(metadata=shown("jobs"))
    client_mb: float = field(metadata=shown("client MB", ".1f"))
    front_end_mb: float = field(metadata=shown("front end MB", ".1f"))
    worker_mb: float = field(metadata=shown("stand-in MB", ".1f"))
    redis_mb: float = field(metadata=shown("Redis MB", ".1f"))
    twice: int = field(metadata=shown("twice"))
    missing: int = field(metadata=shown("missing"))


@dataclass(frozen=True, slots=True)
class Service:
    """The service while it runs, and where its log is."""

    url: str
    redis_url: str
    log_dir: Path
    front_end: int
    worker: int


def write_facts(path: Path, count: int, seed: int) -> None:
    """A file of JSON lines: a fact, two paraphrases and two neighbours each."""
    facts = synthetic_facts(count, seed)
    with path.open("w", encoding="utf-8") as file:
        for at, fact in enumerate(facts):
            beside = [facts[at - back].text for back in (1, 2)]
            asked = [f"It is well known that {fact.text}", f"As everybody has heard, {fact.text}"]
            record = {"subject": fact.subject, "prompt": fact.prompt, "object": fact.object}
            file.write(json.dumps({**record, "paraphrases": asked, "neighbours": beside}) + "\n")


@contextmanager
def service(folder: Path) -> Iterator[Service]:
    """Redis, the front end and the stand-in on an empty folder; each is stopped when the block ends."""
    log_dir, port = folder / "log", free_port()
    with embedded_redis(folder / "redis") as redis_url, (folder / "out.log").open("ab") as out:
        environment = {**os.environ, "PALIMPSEST_REDIS_URL": redis_url, "PALIMPSEST_DATA_DIR": str(folder)}
        server = ["uvicorn", "--factory", "app.main:create_app", "--no-access-log", "--log-level", "warning"]
        worker = ["benchmarks.instant_worker", redis_url, str(log_dir), MODEL]
        with (
            _process([*server, "--port", str(port)], environment, out) as front_end,
            _process(worker, environment, out) as stand_in,
        ):
            url = f"http://127.0.0.1:{port}"
            _await_ready(url, redis_url)
            yield Service(url, redis_url, log_dir, front_end.pid, stand_in.pid)


@contextmanager
def _process(
    arguments: Sequence[str], environment: dict[str, str], out: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
        [sys.executable, "-m", *arguments], env=environment, stdout=out, stderr=out
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _await_ready(url: str, redis_url: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            with Redis.from_url(redis_url) as redis:
                if httpx.get(f"{url}/readyz", trust_env=False).is_success and Roster(redis).now():
                    return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the service does not start")


def client_of(at: Service, file: Path, status: Path, *options: str) -> subprocess.Popen[str]:
    """`palimpsest edit FILE`, which follows its jobs to their ends; ``status``: what it leaves behind."""
    command = [sys.executable, "-c", CLIENT, str(status), "edit", str(file), "--url", at.url, *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # noqa: S603 - ours


def killed(at: Service, file: Path, status: Path, facts: int) -> str:
    """Kill a client as soon as it has told that half of its facts are sent; returns the key that it said to go on with.

    Raises:
        RuntimeError: it came to its end before.
    """
    process, key = client_of(at, file, status), ""
    assert process.stderr is not None
    with process:
        for line in process.stderr:
            if "--idempotency-key " in line:
                key = line.split("--idempotency-key ")[1].split()[0]
            elif (number := sent(line)) is not None and facts / 2 <= number < facts:
                process.kill()
                return key
    raise RuntimeError("the client was not to be caught half-way")


def sent(line: str) -> int | None:
    """How many facts a client has sent, if a line that it told says so."""
    number = line.partition(" of ")[0].replace(",", "")
    return int(number) if "facts sent" in line and number.isdecimal() else None


def imported(at: Service, part: str, file: Path, facts: int, *options: str) -> Row:
    """One import by the real command, from its start to the end of its last job, and what it took.

    Raises:
        RuntimeError: the command failed.
    """
    status = file.with_suffix(".status")
    began = time.perf_counter()
    process = client_of(at, file, status, *options)
    _, told = process.communicate()
    seconds = time.perf_counter() - began
    if process.returncode != 0:
        raise RuntimeError(f"the import ended with {process.returncode}: {told}")
    manifests = LogReader(at.log_dir, MODEL).manifests()
    subjects = Counter(fact.subject for manifest in manifests for fact in manifest.facts)
    with Redis.from_url(at.redis_url) as redis:
        used = redis.info("memory")["used_memory"]
    return Row(
        part,
        facts,
        seconds,
        facts / seconds,
        len(manifests),
        peak_mb(status),
        peak_mb(Path(f"/proc/{at.front_end}/status")),
        peak_mb(Path(f"/proc/{at.worker}/status")),
        used / 2**20,
        sum(count - 1 for count in subjects.values()),
        facts - len(subjects),
    )


def peak_mb(status: Path) -> float:
    """The most memory that a process had, by what the system says of it."""
    [line] = [line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def measure(folder: Path, few: int, many: int, seed: int) -> list[Row]:
    """A small import, a large one, the same sent again after its end, and one whose client was killed half-way."""
    rows = []
    file = folder / "few.jsonl"
    write_facts(file, few, seed)
    with service(folder / "small") as at:
        rows.append(imported(at, "few", file, few))
    file = folder / "many.jsonl"
    write_facts(file, many, seed)
    with service(folder / "large") as at:
        rows.append(imported(at, "many", file, many, "--idempotency-key", "many"))
        rows.append(imported(at, "many, again", file, many, "--idempotency-key", "many"))
    with service(folder / "broken") as at:
        key = killed(at, file, folder / "killed.status", many)
        rows.append(imported(at, "many, broken off", file, many, "--idempotency-key", key))
    return rows


def bounds(rows: Sequence[Row]) -> list[Bound]:
    """Memory that does not grow with the facts, and facts that are there once."""
    few, *others = rows
    client = max(row.client_mb for row in others) / few.client_mb
    front_end = max(row.front_end_mb for row in others) / few.front_end_mb
    return [
        Bound("times the client's memory for few facts", client, MOST_GROWTH),
        Bound("times the front end's memory for few facts", front_end, MOST_GROWTH),
        Bound("facts queued twice", max(row.twice for row in rows), 0),
        Bound("facts lost", max(row.missing for row in rows), 0),
    ]


def run(
    few: Annotated[int, typer.Option(help="Facts of the small import.", min=1)] = 1000,
    many: Annotated[int, typer.Option(help="Facts of the large one.", min=2001)] = 10_000,
    seed: Annotated[int, typer.Option()] = 0,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Import few facts and many."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(Path(scratch), few, many, seed)
    notes = ["the worker is a stand-in that commits at once: seconds are those around the edits"]
    report = Report("import_many", machine(), {"few": few, "many": many, "seed": seed}, rows, bounds(rows), notes)
    raise typer.Exit(report.finish(json_file, check=check))


if __name__ == "__main__":
    typer.run(run)

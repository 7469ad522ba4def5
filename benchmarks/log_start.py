"""How long a start takes on a log of 10,000 versions, and what the front end's first look at it costs.

Each part runs in a process of its own, from the start of that process on: imports, the model's weights, and every
manifest of the chain verified. The last versions stand behind the newest snapshot, as many as may at most.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.machine import machine
from benchmarks.report import Bound, Report, shown

LONGEST_S = 10.0
LOOK_S = 10.0
LOOK_MB = 600.0
SNAPSHOT_EVERY = 64
STARTS = 5
"""Of so many starts by a snapshot the median counts: the machine's own pace moves one by a third."""


@dataclass(frozen=True, slots=True)
class Row:
    """One part: seconds by the clock, seconds of a processor, and the most memory that its process had."""

    part: str = field(metadata=shown("part"))
    seconds: float = field(metadata=shown("seconds", ".2f"))
    processor: float | None = field(metadata=shown("of a processor", ".2f"))
    peak_mb: float | None = field(metadata=shown("peak MB", ",.0f"))


Send = Callable[[list[Row]], None]


def started(root: Path, model: str, part: str, began: float, send: Send) -> None:
    """A worker's start, up to where it leads and would serve."""
    from benchmarks.long_log import settings_of  # noqa: PLC0415 - torch is a part of what is measured
    from workers.host.model_host import ModelHost  # noqa: PLC0415 - the same

    with closing(ModelHost.open(settings_of(root, model))) as host:
        host.lead()
        send([_row(f"{part}, version {host.version}", began)])


def looked(root: Path, model: str, part: str, began: float, send: Send) -> None:
    """What the front end tells of a model, first and again."""
    from fastapi.testclient import TestClient  # noqa: PLC0415 - what is measured begins here

    from app.local.embedded_redis import embedded_redis  # noqa: PLC0415 - the same
    from app.main import create_app  # noqa: PLC0415 - the same
    from app.settings import Settings  # noqa: PLC0415 - the same

    rows = []
    with embedded_redis(root / "redis") as redis_url:
        settings = Settings(data_dir=root / "front", log_dir=root / "log", redis_url=redis_url, allow_open=True)
        with TestClient(create_app(settings), client=("127.0.0.1", 1)) as http:
            rows.append(_row(f"{part}: ready", began))
            paths = ("/models", f"/models/{model}/facts", f"/models/{model}/versions", f"/models/{model}/facts")
            for number, path in enumerate(paths):
                asked = time.time()
                http.get(path).raise_for_status()
                rows.append(_row(f"{part}: {path.removeprefix(f'/models/{model}')}{' again' * (number > 2)}", asked))
    send(rows)


def apart(work: Callable[..., None], *arguments: object) -> list[Row]:
    """The rows of a part, measured in a process of its own."""
    context = multiprocessing.get_context("spawn")
    end, other = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(*arguments, time.time(), other.send))
    process.start()
    other.close()
    try:
        rows: list[Row] = end.recv()
    finally:
        process.join()
    return rows


def _row(part: str, began: float) -> Row:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Row(part, time.time() - began, used.ru_utime + used.ru_stime, _peak_mb())


def _peak_mb() -> float | None:
    """The most memory that this process had; getrusage would tell that of the process that started it as well."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), None)


def measure(root: Path, model: str, versions: int) -> list[Row]:
    """All parts over a log that is written into ``root``."""
    from benchmarks.long_log import write_log  # noqa: PLC0415 - torch is not to be in the front end's memory

    commits = write_log(root, model, versions, versions - SNAPSHOT_EVERY + 1)
    starts = [row for _ in range(STARTS) for row in apart(partial(started, root, model, "start by a snapshot"))]
    rows = []
    if commits is not None:  # else all of the log was there
        rows += [
            Row("a commit, at the beginning", commits.first / 1e3, None, None),
            Row("a commit, at the end", commits.last / 1e3, None, None),
        ]
    rows += [
        sorted(starts, key=lambda row: row.seconds)[STARTS // 2],
        *apart(partial(looked, root, model, "front end")),
    ]
    shutil.rmtree(root / "log" / model / "snapshots")
    return [*rows, *apart(partial(started, root, model, "start without one"))]


def bounds(rows: list[Row]) -> list[Bound]:
    """Of the start by a snapshot, and of the front end's first look."""
    [start] = [row for row in rows if row.part.startswith("start by")]
    looks = [row for row in rows if row.part.startswith("front end")]
    return [
        Bound("seconds of a start by a snapshot", start.seconds, LONGEST_S),
        Bound("seconds of the front end's slowest look", max(row.seconds for row in looks), LOOK_S),
        Bound("MB of the front end", max(row.peak_mb or 0.0 for row in looks), LOOK_MB),
    ]


def run(
    model: Annotated[str, typer.Option(help="Bundled model.")] = "atlas-gpt2",
    versions: Annotated[int, typer.Option(help="Versions of the log.", min=SNAPSHOT_EVERY)] = 10_000,
    kept: Annotated[Path | None, typer.Option("--log", help="Where the log is kept, to be gone on with.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Write a log of many versions, start on it, and look at it."""
    with ExitStack() as stack:
        folder = kept or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rows = measure(folder, model, versions)
    report = Report("log_start", machine(), {"model": model, "versions": versions}, rows, bounds(rows))
    raise typer.Exit(report.finish(json_file, check=check))


if __name__ == "__main__":
    typer.run(run)

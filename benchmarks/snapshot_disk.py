"""What the snapshots of a long log take on disk: all that were ever written, and those that stay when they are thinned.

They are written and thinned as a leader does it, one every so many versions.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.long_log import settings_of, write_log
from benchmarks.machine import machine
from benchmarks.report import Bound, Report, shown
from workers.host.model_host import ModelHost
from workers.versions.snapshots import Snapshots

EVERY = 64
MOST_SHARE = 0.5
"""Of the bytes of all snapshots, those that stay; met from some 1,500 versions on."""


@dataclass(frozen=True, slots=True)
class Row:
    """The log at one length. ``farthest``: how many versions behind a snapshot any up to the newest one is, at most."""

    versions: int = field(metadata=shown("versions"))
    written: int = field(metadata=shown("snapshots written"))
    written_mb: float = field(metadata=shown("MB of them", ",.1f"))
    kept: int = field(metadata=shown("that stay"))
    kept_mb: float = field(metadata=shown("MB of those", ",.1f"))
    versions_mb: float = field(metadata=shown("MB of the versions", ",.1f"))
    farthest: int = field(metadata=shown("versions behind one, at most"))


def measure(root: Path, model: str, versions: int, every: int = EVERY) -> list[Row]:
    """A row each time that the log has twice as many snapshots as at the last one, and one at its end.

    Args:
        every: versions from one snapshot to the next.
    """
    write_log(root, model, versions, every)
    folder, sizes, rows = root / "log" / model, dict[int, int](), list[Row]()
    with closing(ModelHost.open(settings_of(root, model))) as host:
        host.lead()
        keep, last = Snapshots(host.log, every), versions - versions % every
        for version in range(every, last + 1, every):
            keep.jumped(host.live, version, host.epoch)
            sizes[version] = bytes_in(folder / "snapshots" / f"{version:08d}")
            if len(sizes) & (len(sizes) - 1) == 0 or version == last:
                rows.append(_row(folder, version, sizes, host.log.snapshots()))
    return rows


def bytes_in(folder: Path) -> int:
    """Of all files in a folder, however deep."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def bounds(rows: list[Row]) -> list[Bound]:
    """Of the log at its full length."""
    last = rows[-1]
    return [Bound("share of the bytes of all snapshots that stays", last.kept_mb / last.written_mb, MOST_SHARE)]


def run(
    model: Annotated[str, typer.Option(help="Bundled model.")] = "atlas-gpt2",
    versions: Annotated[int, typer.Option(help="Versions of the log.", min=EVERY)] = 2_000,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Write a log of many versions with its snapshots, and see what they take."""
    with ExitStack() as stack:
        rows = measure(Path(stack.enter_context(tempfile.TemporaryDirectory())), model, versions)
    report = Report("snapshot_disk", machine(), {"model": model, "versions": versions}, rows, bounds(rows))
    raise typer.Exit(report.finish(json_file, check=check))


def _row(folder: Path, version: int, sizes: dict[int, int], kept: list[int]) -> Row:
    own = sum(bytes_in(folder / "versions" / f"{each:08d}") for each in range(1, version + 1))
    return Row(
        versions=version,
        written=len(sizes),
        written_mb=sum(sizes.values()) / 1e6,
        kept=len(kept),
        kept_mb=bytes_in(folder / "snapshots") / 1e6,
        versions_mb=own / 1e6,
        farthest=max(newer - older for older, newer in pairwise([0, *kept])) - 1,
    )


if __name__ == "__main__":
    typer.run(run)

"""The default beside BLUE as its paper has it, in quality and in time: the yardstick that a default has to meet.

Both are runs of `palimpsest evaluate` in one process, a few batches of one and then as many of the other, so that a
machine whose pace changes slows both alike. BLUE: MEMIT at the first and the last of the default's layers, each
descent to its end. ``--hyperparameters`` puts a candidate in the default's place. Settings that are chosen here
must be chosen on other facts than those that the yardsticks ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from app.domain.contract import Hyperparameters
from app.domain.settings import DATA_DIR
from benchmarks.machine import machine
from benchmarks.report import Bound, Report, shown
from benchmarks.yardsticks import FACTS, Row, row_of
from workers.commands.options import OneDevice, Overrides, overrides
from workers.experiments.cases import DataSet
from workers.experiments.run_folder import RunFolder, Wanted
from workers.experiments.sequence import Run, host_of

DEFAULT, BLUE = "default", "BLUE"
MOST_OF_ITS_TIME = 0.7

AS_PUBLISHED: Mapping[str, object] = MappingProxyType(
    {"method": "memit", "plan": "boundary", "hyperparameters": Hyperparameters(early_stop=1000)}
)
"""What sets BLUE apart from any default: no descent has so many steps that it could be stopped early."""


@dataclass(frozen=True)
class Side(Row):
    """All facts of a side. score: harmonic mean of efficacy, generalisation and specificity, by comparison.

    times: seconds a fact, in those of BLUE.
    """

    score: float = field(metadata=shown("score", ".3f"))
    seconds: float = field(metadata=shown("s a fact", ".2f"))
    times: float = field(metadata=shown("times", ".2f"))


def by_turns(
    sides: Mapping[str, Wanted], data: DataSet, folder: Path, data_dir: Path, device: str = "cpu"
) -> dict[str, RunFolder]:
    """Edit both, from where they were stopped, ``every`` facts of one and then of the other."""
    folders = {name: RunFolder(folder / name) for name in sides}
    with ExitStack() as stack:
        left = {}
        for name, wanted in sides.items():
            folders[name].begin(wanted)
            host = stack.enter_context(host_of(folders[name], wanted, device, data_dir))
            run = Run.over(folders[name], wanted, host, data, lambda line: typer.echo(line, err=True))
            left[name] = run.go()
        while left:
            for name in list(left):
                folders[name].take_unedited([folders[DEFAULT]])
                if next(left[name], None) is None:
                    del left[name]
    return folders


def side_of(name: str, found: RunFolder, blue_s: float) -> Side:
    """A side that is through. blue_s: seconds a fact of BLUE's."""
    last, seconds = found.last_checkpoint, seconds_of(found)
    assert last is not None
    score = last.summary.score
    row = row_of(name, last.facts, last.summary, last)
    score = float("nan") if score is None else score
    return Side(**vars(row), score=score, seconds=seconds, times=seconds / blue_s)


def seconds_of(found: RunFolder) -> float:
    """Seconds that a fact took, over the batches whose time is known."""
    known = [(line.seconds, line.facts) for line in found.lines() if line.seconds is not None]
    return sum(seconds for seconds, _ in known) / max(1, sum(facts for _, facts in known))


def bounds(default: Side, blue: Side) -> list[Bound]:
    """A default must be as good, and quicker."""
    return [
        Bound("harmonic mean, more than BLUE's", default.score - blue.score, 0.0, at_least=True),
        Bound("seconds a fact, in BLUE's", default.times, MOST_OF_ITS_TIME),
    ]


def sides_of(
    model: str, data: DataSet, facts: int, batch: int, every: int, candidate: Hyperparameters
) -> dict[str, Wanted]:
    """What is run: the default, or a candidate for it, and BLUE with all else as the default has it."""
    default = Wanted(
        model=model,
        dataset=data.name,
        digest=data.digest,
        facts=facts,
        batch=batch,
        every=every,
        spoken=0,
        hyperparameters=candidate,
    )
    return {DEFAULT: default, BLUE: default.model_copy(update=AS_PUBLISHED)}


def run(
    model: Annotated[str, typer.Option(help="Any model.")] = "smollm2",
    facts: Annotated[Path, typer.Option(help="CounterFact, in any of its forms.")] = FACTS,
    most: Annotated[int, typer.Option(help="So many facts of it.")] = 100,
    batch: Annotated[int, typer.Option(help="Edit so many together.")] = 20,
    every: Annotated[int, typer.Option(help="Facts of a turn.")] = 20,
    hyperparameters: Overrides = "{}",
    folder: Annotated[Path, typer.Option(help="Of the runs.")] = Path("runs") / "against-blue",
    device: OneDevice = "cpu",
    data_dir: Annotated[Path, typer.Option(help="Where statistics and presets are kept.")] = DATA_DIR,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Edit the same facts as the model's default does and as BLUE does, by turns."""
    data = DataSet.read(str(facts))
    sides = sides_of(model, data, most, batch, every, overrides(hyperparameters))
    found = by_turns(sides, data, folder, data_dir, device)
    blue_s = seconds_of(found[BLUE])
    default, blue = (side_of(name, found[name], blue_s) for name in (DEFAULT, BLUE))
    settings = {"model": model, "facts": most, "batch": batch, "hyperparameters": hyperparameters, "data": data.name}
    report = Report("against_blue", machine(device), settings, [default, blue], bounds(default, blue))
    raise typer.Exit(report.finish(json_file, check=check))


if __name__ == "__main__":
    typer.run(run)

"""How many facts a model takes: batches of ten, one after another, counted greedily after each.

Three shares, every token of the object counted: of all facts edited so far that hold; of their phrasings that the model
was never trained on; and of 200 unrelated facts (other subjects, answered rightly by the base model) still answered as
before. The capacity is the last count, from a hundred facts on, before one of the three falls below its bound: shares
of fewer facts are too coarse.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from workers.editing.model.editable_model import EditableModel
from workers.editing.types import Fact
from workers.models import bundled
from workers.offline import OfflineModel
from workers.questions.scoring import standings

BOUNDS = {"facts": 0.85, "paraphrases": 0.65, "unrelated": 0.85}
UNRELATED = 200
BATCH = 10
JUDGED_FROM = 100


@dataclass(frozen=True)
class Case:
    """One edit: the fact, and a phrasing of it that the model was never trained on."""

    fact: Fact
    unseen: str


@dataclass(frozen=True)
class Row:
    """The shares after ``count`` facts; ``seconds`` of the last batch."""

    model: str
    count: int
    facts: float
    paraphrases: float
    unrelated: float
    seconds: float

    @property
    def within(self) -> bool:
        """Whether no share is below its bound."""
        return all(getattr(self, name) >= bound for name, bound in BOUNDS.items())


def cases(folder: Path, live: EditableModel, count: int, seed: int) -> tuple[list[Case], list[tuple[str, str]]]:
    """``count`` seeded edits, and the unrelated questions with the answers that the base model gives."""
    records = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    random.Random(seed).shuffle(records)
    chosen, others = records[:count], records[count:]
    edited = {record["requested_rewrite"]["subject"] for record in chosen}
    found = []
    for record in chosen:
        rewrite = record["requested_rewrite"]
        fact = Fact(rewrite["subject"], rewrite["prompt"], rewrite["target_new"]["str"])
        found.append(Case(fact, record["paraphrase_prompts"][0]))
    pairs = []
    for record in others:
        rewrite = record["requested_rewrite"]
        if rewrite["subject"] not in edited:
            asked = Fact(rewrite["subject"], rewrite["prompt"], rewrite["target_true"]["str"])
            pairs.append((asked.text, asked.object))
    right = [pair for pair, held in zip(pairs, _hold(live, pairs), strict=True) if held]
    return found, right[:UNRELATED]


def _hold(live: EditableModel, pairs: Sequence[tuple[str, str]]) -> list[bool]:
    return [standing.rank == 1 for standing in standings(live.model, live.tokenizer, pairs)]


def _share(live: EditableModel, pairs: Sequence[tuple[str, str]]) -> float:
    held = _hold(live, pairs)
    return sum(held) / len(held)


def measure(name: str, opened: OfflineModel, most: int, seed: int, data_dir: Path) -> Iterator[Row]:
    """Edit up to ``most`` facts; one row a batch."""
    edits, unrelated = cases(bundled(name), opened.live, most, seed)
    batches = [[case.fact for case in edits[i : i + BATCH]] for i in range(0, most, BATCH)]
    probe = opened.live.shadow(opened.preset.layers)
    for result in opened.edit(batches, None, data_dir, strict=False):
        for layer, total in result.totals.items():
            probe.set_master(layer, opened.live.master(layer) + total)
        done = edits[: (result.number + 1) * BATCH]
        yield Row(
            name,
            len(done),
            _share(probe, [(case.fact.text, case.fact.object) for case in done]),
            _share(probe, [(case.unseen, case.fact.object) for case in done]),
            _share(probe, unrelated),
            result.seconds,
        )


def capacity(rows: Sequence[Row]) -> int:
    """The last count before any share falls below its bound, from ``JUDGED_FROM`` facts on; 0 if it starts below."""
    best = 0
    for row in rows:
        if row.count >= JUDGED_FROM and not row.within:
            break
        best = row.count
    return best if best >= JUDGED_FROM else 0


def run(
    models: Annotated[list[str] | None, typer.Option("--model", help="Bundled model; both if left out.")] = None,
    most: Annotated[int, typer.Option(help="Edit at most so many facts.")] = 400,
    seed: Annotated[int, typer.Option()] = 0,
    method: Annotated[str | None, typer.Option()] = None,
    plan: Annotated[str | None, typer.Option()] = None,
    preset: Annotated[Path | None, typer.Option(help="Hyperparameter file to try.")] = None,
    every: Annotated[int, typer.Option(help="Show every so many facts.")] = 50,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed at 100 facts.")] = False,
) -> None:
    """Edit both bundled models until one of the three shares falls below its bound."""
    torch.manual_seed(seed)
    console, rows = Console(), []
    table = Table(title=f"Sequential editing, batches of {BATCH}, {machine()}")
    for column in ("model", "facts", "hold", "unseen phrasing", "unrelated kept", "s / batch"):
        table.add_column(column, justify="left" if column == "model" else "right")
    with tempfile.TemporaryDirectory() as scratch:
        for name in models or ["atlas-gpt2", "atlas-llama"]:
            opened = OfflineModel.open(name, device="cpu", dtype="float32", preset=preset, method=method, plan=plan)
            start, found = time.monotonic(), []
            for row in measure(name, opened, most, seed, Path(scratch)):
                found.append(row)
                if row.count % every == 0:
                    shares = (f"{getattr(row, key):.1%}" for key in BOUNDS)
                    table.add_row(name, str(row.count), *shares, f"{row.seconds:.2f}")
                if row.count > JUDGED_FROM and not row.within:
                    break
            console.print(f"{name}: capacity {capacity(found)} facts ({time.monotonic() - start:.0f} s)")
            rows += found
    console.print(table)
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    if check and not all(row.within for row in rows if row.count == JUDGED_FROM):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(run)

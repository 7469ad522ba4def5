"""How much faster the dual solve is than the dense one, by the width of keys and the facts edited before.

In a sequence of batches each solve first takes in the keys of the batch before, and then solves for its own: the dual
side does just that, with all that it keeps of older keys at hand. The dense side forms λC + K_pK_pᵀ + KKᵀ and solves,
as the released code does; beside it the same by Cholesky, which is the better dense way. All in float64. What the dual
side makes once (C's factor; and the fold of previous keys into it, after every d_in / 2 facts) has its own column.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from benchmarks.machine import machine
from benchmarks.report import Bound, Report, shown
from benchmarks.workload import random_moment
from workers.editing.algebra.layer_base import LayerBase
from workers.editing.algebra.previous_keys import PreviousKeys
from workers.editing.methods.memit import dense_right_factor, right_factor
from workers.editing.presets.preset import Preset
from workers.editing.types import LayerPrior

TIMES, AT_WIDTH, AT_EARLIER = 15.0, 8192, 1000
DIFFERENCE = 1e-8
PRESET = Preset((0,))


@dataclass(frozen=True, slots=True)
class Row:
    """One solve of a batch; medians. ``difference``: of the right factor from the dense one's (Frobenius, relative)."""

    width: int = field(metadata=shown("d_in", ","))
    batch: int = field(metadata=shown("batch"))
    earlier: int = field(metadata=shown("earlier facts", ","))
    dual_s: float = field(metadata=shown("dual s", ".4f"))
    dense_s: float = field(metadata=shown("dense s", ".3f"))
    times: float = field(metadata=shown("times", ".1f"))
    cholesky_s: float = field(metadata=shown("by Cholesky s", ".3f"))
    once_s: float = field(metadata=shown("once s", ".3f"))
    difference: float = field(metadata=shown("differ", ".1e"))


def measure(base: LayerBase, width: int, earlier: int, batch: int, repeats: int, seed: int) -> Row:
    """Solve for one batch after ``earlier`` facts, the last batch of which is still to be taken in."""
    generator = torch.Generator().manual_seed(seed)
    previous, keys = (torch.randn(width, n, generator=generator, dtype=torch.float64) for n in (earlier, batch))
    older = max(earlier - batch, 0)
    known = LayerPrior(base, PreviousKeys.empty(width).append(previous[:, :older]))
    once_s, _ = timed(lambda: right_factor(keys, known, PRESET))

    def taken_in() -> LayerPrior:
        return known.with_previous_keys(known.previous_keys.append(previous[:, older:]))

    dual, dense, cholesky = [], [], []
    for _ in range(repeats):
        dual.append(timed(lambda: right_factor(keys, taken_in(), PRESET)))
        dense.append(timed(lambda: dense_right_factor(keys, taken_in(), PRESET)))
        cholesky.append(timed(lambda: by_cholesky(keys, previous, base)))
    dual_s, dense_s, cholesky_s = (
        statistics.median(seconds for seconds, _ in side) for side in (dual, dense, cholesky)
    )
    difference = float((dual[0][1] - dense[0][1]).norm() / dense[0][1].norm())
    return Row(width, batch, earlier, dual_s, dense_s, dense_s / dual_s, cholesky_s, once_s, difference)


def by_cholesky(keys: Tensor, previous: Tensor, base: LayerBase) -> Tensor:
    """Kᵀ (λC + K_pK_pᵀ + KKᵀ)⁻¹ (n, d_in), dense, by the matrix's Cholesky factor."""
    gram = (PRESET.mom2_update_weight * base.second_moment()).addmm_(previous, previous.T).addmm_(keys, keys.T)
    return torch.cholesky_solve(keys, torch.linalg.cholesky(gram)).T


def timed(what: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    found = what()
    return time.perf_counter() - start, found


def bounds(rows: Sequence[Row]) -> list[Bound]:
    """A bound on speed for one row, and on agreement for every row."""
    judged = [row for row in rows if (row.width, row.earlier) == (AT_WIDTH, AT_EARLIER)]
    return [
        *(
            Bound(f"d_in {AT_WIDTH:,} after {AT_EARLIER:,}, times faster", row.times, TIMES, at_least=True)
            for row in judged
        ),
        *(Bound(f"d_in {row.width:,} after {row.earlier:,}, differs by", row.difference, DIFFERENCE) for row in rows),
    ]


def run(
    widths: Annotated[list[int] | None, typer.Option("--width", help="d_in.")] = None,
    earlier: Annotated[list[int] | None, typer.Option("--earlier", help="Facts edited before.")] = None,
    batch: Annotated[int, typer.Option(min=1)] = 100,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    seed: Annotated[int, typer.Option()] = 0,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Solve for one batch both ways."""
    rows: list[Row] = []
    for width in widths or [4096, AT_WIDTH]:
        moment = random_moment(width, torch.Generator().manual_seed(seed)).double()
        counts = earlier or [0, AT_EARLIER, 3000]
        rows += [measure(LayerBase.of(moment), width, count, batch, repeats, seed + 1) for count in counts]
    settings = {"dtype": "float64", "method": "memit", "repeats": repeats, "seed": seed}
    report = Report("solve_speed", machine(), settings, rows, bounds(rows))
    raise typer.Exit(report.finish(json_file, check=check))


if __name__ == "__main__":
    typer.run(run)

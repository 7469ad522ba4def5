"""How many tokens a second the second moments of a few layers take, as it is done and as it was.

The plain way runs the whole model on rows in their order, padded to the longest of a micro-batch under a mask. Rows
are as long as texts are: seeded, between 16 and 256 tokens, rising geometrically. Without ``--model`` the model has
SmolLM2-135M's shape and random weights: what it costs is what the real one costs. Seconds are the processor's, so that
what else runs on the machine matters less.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from benchmarks.machine import machine
from benchmarks.report import Bound, Report, shown
from benchmarks.shapes import SHAPES, random_model
from benchmarks.synthetic_facts import trained_tokenizer
from workers.editing.loading import load
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.micro_batches import right_padded
from workers.editing.moments import MomentSums

SHAPE = "smollm2-135m"
SHORTEST, LONGEST = 16, 256
MAX_BATCH_TOKENS = 4096
TIMES, DIFFERENCE = 3.0, 1e-5
WARM_UP = 2
"""Rows that each side runs before it is timed."""


@dataclass(frozen=True, slots=True)
class Row:
    """Both ways over the same rows. ``difference``: of C, the largest of all layers' (Frobenius, relative)."""

    layers: str = field(metadata=shown("layers"))
    tokens: int = field(metadata=shown("tokens", ","))
    plain: float = field(metadata=shown("plain tokens/s", ",.0f"))
    cut: float = field(metadata=shown("tokens/s", ",.0f"))
    times: float = field(metadata=shown("times", ".1f"))
    difference: float = field(metadata=shown("differ", ".1e"))


def measure(live: EditableModel, layers: Sequence[int], rows: Sequence[list[int]]) -> Row:
    """Take the same tokens both ways."""

    def cut(some: Sequence[list[int]]) -> dict[int, Tensor]:
        sums = MomentSums(live, layers, MAX_BATCH_TOKENS)
        sums.add(some)
        return sums.moments()

    for side in (cut, lambda some: plain(live, layers, some)):
        side(rows[:WARM_UP])
    tokens = sum(map(len, rows))
    cut_s, found = timed(lambda: cut(rows))
    plain_s, expected = timed(lambda: plain(live, layers, rows))
    difference = max(float((found[at] - expected[at]).norm() / expected[at].norm()) for at in layers)
    named = ", ".join(map(str, layers))
    return Row(named, tokens, tokens / plain_s, tokens / cut_s, plain_s / cut_s, difference)


@torch.inference_mode()
def plain(live: EditableModel, layers: Sequence[int], rows: Sequence[list[int]]) -> dict[int, Tensor]:
    """C by layer, float32, from passes through the whole model."""
    sums = {layer: torch.zeros(live.key_width(layer), live.key_width(layer), dtype=torch.float64) for layer in layers}
    for batch in in_given_order(rows):
        ids, mask = right_padded(batch, live.device)
        valid = mask.bool()

        def adding(layer: int, valid: Tensor = valid) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
            def see(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
                keys = args[0].reshape(*valid.shape, -1)[valid].float()
                sums[layer] += (keys.T @ keys).to("cpu", torch.float64)

            return see

        handles = [live.projection(layer).register_forward_pre_hook(adding(layer)) for layer in layers]
        live.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
        for handle in handles:
            handle.remove()
    tokens = sum(map(len, rows))
    return {layer: total.div_(tokens).float() for layer, total in sums.items()}


def in_given_order(rows: Sequence[list[int]]) -> Iterator[list[list[int]]]:
    """Micro-batches of rows in their order; none pads to more than ``MAX_BATCH_TOKENS``."""
    batch: list[list[int]] = []
    longest = 0
    for row in rows:
        longest = max(longest, len(row))
        if batch and (len(batch) + 1) * longest > MAX_BATCH_TOKENS:
            yield batch
            batch, longest = [], len(row)
        batch.append(row)
    if batch:
        yield batch


def timed(what: Callable[[], dict[int, Tensor]]) -> tuple[float, dict[int, Tensor]]:
    """Seconds of the processor, and what came of it."""
    start = time.process_time()
    found = what()
    return time.process_time() - start, found


def random_rows(tokens: int, vocabulary: int, seed: int) -> list[list[int]]:
    """Rows of random ids until there are so many tokens."""
    drawn, rows, held = random.Random(seed), [], 0
    while held < tokens:
        length = round(SHORTEST * (LONGEST / SHORTEST) ** drawn.random())
        rows.append([drawn.randrange(vocabulary) for _ in range(length)])
        held += length
    return rows


def bounds(rows: Sequence[Row]) -> list[Bound]:
    """Of the first row, the layers of a plan, the speed; of every row the agreement."""
    speed = Bound(f"layers {rows[0].layers}, times faster", rows[0].times, TIMES, at_least=True)
    return [speed, *(Bound(f"layers {row.layers}, differs by", row.difference, DIFFERENCE) for row in rows)]


def run(
    model: Annotated[str | None, typer.Option(help="A folder, or a shape with random weights.")] = None,
    layers: Annotated[list[str] | None, typer.Option("--layers", help="Like 4,8; may be repeated.")] = None,
    tokens: Annotated[int, typer.Option(min=1)] = 20_000,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    seed: Annotated[int, typer.Option()] = 0,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a bound is missed.")] = False,
) -> None:
    """Take second moments both ways."""
    torch.set_num_threads(threads)
    live = load(model) if model and model not in SHAPES else _random(model or SHAPE, seed)
    ids = random_rows(tokens, live.model.config.get_text_config().vocab_size, seed)
    chosen = [tuple(map(int, each.split(","))) for each in layers or ["4,8", "4,5,6,7,8"]]
    rows = [measure(live, each, ids) for each in chosen]
    settings = {"model": model or SHAPE, "max_batch_tokens": MAX_BATCH_TOKENS, "seed": seed}
    raise typer.Exit(Report("statistics_speed", machine(), settings, rows, bounds(rows)).finish(json_file, check=check))


def _random(shape: str, seed: int) -> EditableModel:
    return EditableModel.of(random_model(shape, "cpu", torch.float32, seed), trained_tokenizer(seed))


if __name__ == "__main__":
    typer.run(run)

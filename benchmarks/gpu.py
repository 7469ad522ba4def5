"""Editing on a GPU, on random models of real shapes: `python -m benchmarks.gpu --minutes 25`.

Needs torch, transformers and safetensors; of the project this folder, `workers/editing` and `app/domain`. Nothing is
downloaded. Models in bfloat16; δ and the masters of edited matrices in float32; solves in float64. In a random model no
fact converges early, and each takes all its gradient steps: real facts take fewer. What there is no time for is left
out and named; the JSON is written anew after each row.
"""

from __future__ import annotations

import argparse
import gc
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.gpu_bench import ENGINE, NAIVE, Bench, Measured
from benchmarks.machine import machine, matmul_peak
from benchmarks.report import Report
from benchmarks.workload import random_workload

RESULTS = Path(__file__).parent / "results"
PLANS = ("boundary", "even")
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. runs: of each batch size, how often. naive_facts: facts of the naive loop."""

    shapes: tuple[str, ...]
    runs: dict[int, int]
    naive_facts: int
    peak_sizes: tuple[int, ...]
    steps: int | None = None

    @property
    def facts(self) -> int:
        """How many facts the runs need."""
        return max(size * runs for size, runs in self.runs.items())

    def cases(self) -> Iterator[tuple[str, str, int]]:
        """Plan, way and batch size; those that take longest come last."""
        *sizes, largest = self.runs
        for plan in PLANS:
            yield from ((plan, ENGINE, size) for size in sizes)
            yield plan, NAIVE, self.naive_facts
        yield from ((plan, ENGINE, largest) for plan in PLANS)


FULL = Scale(("gpt2-xl", "llama-3-8b"), {1: 5, 10: 3, 100: 3, 1000: 1}, 4, (4096, 8192))
TINY = Scale(("tiny-gpt2", "tiny-llama"), {1: 2, 3: 1}, 2, (64,), 4)


@dataclass(slots=True)
class Session:
    """Rows and notes so far, and where they are written. deadline: by ``time.perf_counter``."""

    scale: Scale
    options: argparse.Namespace
    deadline: float
    rows: list[Measured]
    notes: list[str]

    def measure(self) -> None:
        """All models; each gets an equal share of the time that is left, and what the one before did not use."""
        for index, shape in enumerate(self.scale.shapes):
            now = time.perf_counter()
            self._model(shape, now + (self.deadline - now) / (len(self.scale.shapes) - index))
            gc.collect()
            torch.cuda.empty_cache()

    def _model(self, shape: str, until: float) -> None:
        device, dtype = self.options.device, DTYPES[self.options.dtype]
        work = random_workload(shape, self.scale.facts, device=device, dtype=dtype, seed=self.options.seed)
        if self.scale.steps is not None:
            work = work.with_settings(v_num_grad_steps=self.scale.steps)
        if self.options.max_batch_tokens is not None:
            work = work.with_settings(max_batch_tokens=self.options.max_batch_tokens)
        peak = matmul_peak(device, dtype, self.scale.peak_sizes)
        steps = work.preset.v_num_grad_steps - 1
        self.notes.append(f"{shape}: matmul peak {peak / 1e12:.3g} TFLOP/s; at most {steps} gradient steps a target")
        priors = work.with_settings(plan="even").priors()  # of all critical layers
        benches = {plan: Bench(work.with_settings(plan=plan), priors, peak, until) for plan in PLANS}
        for plan, way, size in self.scale.cases():
            name = f"{shape}, {plan}, {way}, {size:,} facts"
            runs = self.scale.runs.get(size, 1)
            if time.perf_counter() + self._expected(shape, plan, way, size * runs) > until:
                self.notes.append(f"left out for want of time: {name}")
                continue
            try:
                found = benches[plan].engine(size, runs) if way == ENGINE else benches[plan].naive(size)
            except TimeoutError:
                self.notes.append(f"stopped for want of time: {name}")
            except torch.OutOfMemoryError:
                self.notes.append(f"does not fit into memory: {name}")
            else:
                self.rows.append(found)
                self.write()

    def _expected(self, shape: str, plan: str, way: str, facts: int) -> float:
        """Seconds at the best rate seen so far; 0 where nothing is known."""
        seen = [row for row in self.rows if (row.model, row.plan, row.way) == (shape, plan, way)]
        return facts / max(row.facts_per_s for row in seen) if seen else 0.0

    def report(self) -> Report:
        """What is known so far."""
        options = {name: value for name, value in vars(self.options).items() if name != "json"}
        return Report("gpu", machine(self.options.device), options, compared(self.rows), (), self.notes)

    def write(self) -> None:
        """Write the JSON, if there is a place for it."""
        if self.options.json is not None:
            self.report().write(self.options.json)


def compared(rows: Sequence[Measured]) -> list[Measured]:
    """The rows plan by plan, the engine's rates held against the naive loop's for the same model and plan."""
    naive = {(row.model, row.plan): row.facts_per_s for row in rows if row.way == NAIVE}
    return [
        replace(row, times=row.facts_per_s / naive[row.model, row.plan])
        if row.way == ENGINE and (row.model, row.plan) in naive
        else row
        for row in sorted(rows, key=lambda row: (row.model, row.plan))
    ]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Options; without ``--json`` a GPU's result goes into the results folder under the GPU's name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=25.0, help="time for everything")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16", help="the models' own; masters stay float32")
    parser.add_argument("--shape", action="append", help="only this model (may be given again)")
    parser.add_argument("--max-batch-tokens", type=int, help="tokens in memory at once; the preset's if left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tiny", action="store_true", help="tiny models, to see that it works")
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args(arguments)
    if options.json is None and options.device.startswith("cuda"):
        name = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name(options.device).lower()).strip("-")
        options.json = RESULTS / f"{name}.json"
    return options


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write."""
    options = parse(arguments)
    scale = TINY if options.tiny else FULL
    scale = replace(scale, shapes=tuple(options.shape or scale.shapes))
    session = Session(scale, options, time.perf_counter() + 60 * options.minutes, [], [])
    session.measure()
    return session.report().finish(options.json, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

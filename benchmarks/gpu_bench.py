"""One row of the GPU benchmark: a batch size, a plan, and the engine or the naive loop."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from benchmarks.flops import mean_step_cost, necessary_flops
from benchmarks.machine import synchronise
from benchmarks.naive_editor import naive_edit
from benchmarks.report import shown
from benchmarks.step_clock import StepClock
from benchmarks.workload import Workload
from workers.editing.batch import tokenise_batch
from workers.editing.editor import edit
from workers.editing.methods.memit import right_factor
from workers.editing.model.editable_model import EditableModel
from workers.editing.types import Edited, Fact, Priors

Result = TypeVar("Result")

ENGINE, NAIVE = "engine", "naive loop"
WARMED_UP_TO = 10
"""Facts in a batch that is edited once untimed before it is measured."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians over the runs, of a whole batch.

    seconds: the edit. solve_s: its solves alone, done once more; the naive loop's are dense. commit_s: another model
    tree takes over the updates. peak_gb: most memory allocated at once, model and statistics of all critical layers
    included. of_peak: the target steps' necessary matrix products over the peak measured in this run. times: facts per
    second over the naive loop's. difference: largest of any layer's update from the engine's for the same facts
    (Frobenius, relative).
    """

    model: str = field(metadata=shown("model"))
    plan: str = field(metadata=shown("plan"))
    way: str = field(metadata=shown("way"))
    facts: int = field(metadata=shown("batch", ","))
    runs: int = field(metadata=shown("runs"))
    seconds: float = field(metadata=shown("seconds", ".3f"))
    facts_per_s: float = field(metadata=shown("facts/s", ".3f"))
    solve_s: float = field(metadata=shown("solve s", ".4f"))
    peak_gb: float | None = field(metadata=shown("peak GB", ".2f"))
    commit_s: float | None = field(default=None, metadata=shown("commit s", ".4f"))
    of_peak: float | None = field(default=None, metadata=shown("of peak", ".1%"))
    times: float | None = field(default=None, metadata=shown("x naive", ".1f"))
    difference: float | None = field(default=None, metadata=shown("differ", ".1e"))


@dataclass(frozen=True, slots=True)
class _Run:
    """One edited batch."""

    seconds: float
    solve_s: float
    commit_s: float
    of_peak: float


@dataclass(slots=True)
class Bench:
    """One model under one plan, on its device. peak: FLOP/s. deadline: by ``time.perf_counter``."""

    work: Workload
    priors: Priors
    peak: float
    deadline: float

    def engine(self, size: int, runs: int) -> Measured:
        """The engine on batches of ``size`` facts.

        Raises:
            TimeoutError: the deadline has passed.
        """
        if size <= WARMED_UP_TO:
            self._edit(self.work.facts[:size])
        self._forget_peak()
        found = [self._run(self.work.facts[run * size : (run + 1) * size]) for run in range(runs)]
        seconds, solve_s, commit_s, of_peak = (
            statistics.median(getattr(run, name) for run in found)
            for name in ("seconds", "solve_s", "commit_s", "of_peak")
        )
        name, plan, rate = self.work.name, self.work.preset.plan, size / seconds
        return Measured(name, plan, ENGINE, size, runs, seconds, rate, solve_s, self._peak_gb(), commit_s, of_peak)

    def naive(self, count: int) -> Measured:
        """The naive loop over ``count`` facts; its rate leaves the solves out, which batches share."""
        work, facts, shadow = self.work, self.work.facts[:count], self.work.shadow()
        warm = work.with_settings(v_num_grad_steps=2).preset
        naive_edit(work.shadow(), facts[:1], warm, self.priors, work.contexts)
        self._forget_peak()
        found, seconds = self._timed(lambda: naive_edit(shadow, facts, work.preset, self.priors, work.contexts))
        used, (edited, _) = self._peak_gb(), self._edit(facts)
        difference = max(
            float((ours.dense - theirs.dense).norm() / ours.dense.norm())
            for ours, theirs in zip(edited.updates, found.updates, strict=True)
        )
        rate = count / (seconds - found.solve_s)
        return Measured(
            work.name, work.preset.plan, NAIVE, count, 1, seconds, rate, found.solve_s, used, difference=difference
        )

    def _run(self, facts: Sequence[Fact]) -> _Run:
        clock = StepClock(self.deadline)
        edited, seconds = self._edit(facts, clock)
        twin = self.work.shadow()
        _, commit_s = self._timed(lambda: _add(twin, edited))
        _, solve_s = self._timed(lambda: self._solve(edited))
        tokenised = tokenise_batch(self.work.live, facts, self.work.contexts)
        costs = {layer: mean_step_cost(self.work.live, tokenised, layer) for layer in self.work.preset.layers}
        of_peak = necessary_flops(costs, clock.passes()) / clock.seconds / self.peak
        return _Run(seconds, solve_s, commit_s, of_peak)

    def _edit(self, facts: Sequence[Fact], clock: StepClock | None = None) -> tuple[Edited, float]:
        work, shadow, watch = self.work, self.work.shadow(), clock or StepClock(self.deadline)
        return self._timed(lambda: edit(shadow, facts, work.preset, self.priors, work.contexts, observer=watch))

    def _solve(self, edited: Edited) -> None:
        for update in edited.updates:
            right_factor(update.keys, self.priors[update.layer], self.work.preset)

    def _timed(self, what: Callable[[], Result]) -> tuple[Result, float]:
        synchronise(self._device)
        start = time.perf_counter()
        result = what()
        synchronise(self._device)
        return result, time.perf_counter() - start

    @property
    def _device(self) -> torch.device:
        return self.work.live.device

    def _forget_peak(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)

    def _peak_gb(self) -> float | None:
        return torch.cuda.max_memory_allocated(self._device) / 1e9 if self._device.type == "cuda" else None


def _add(editable: EditableModel, edited: Edited) -> None:
    for update in edited.updates:
        editable.add(update)

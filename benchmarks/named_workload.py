"""Workloads by name: a bundled model with its own preset, contexts, corpus and real facts, or a random model."""

from __future__ import annotations

import json
import random
from dataclasses import replace

from benchmarks.workload import Workload, random_workload
from workers.editing.contexts import contexts_of
from workers.editing.loading import load
from workers.editing.presets import find_preset
from workers.editing.statistics import Statistics, second_moments
from workers.editing.types import Fact
from workers.host.statistics_store import CORPUS, FIRST_START_TOKENS
from workers.models import NAMES, bundled


def named_workload(
    name: str, facts: int, *, seed: int, steps: int | None = None, statistics: Statistics | None = None
) -> Workload:
    """A model in float32 on the CPU, with at most so many facts.

    Args:
        name: a bundled model's, or a shape's. steps: gradient steps; the preset's if None.
        statistics: made anew if None.
    """
    work = _bundled(name, facts, seed, statistics) if name in NAMES else random_workload(name, facts, seed=seed)
    if statistics is not None:
        work = replace(work, statistics=statistics)
    return work if steps is None else work.with_settings(v_num_grad_steps=steps)


def _bundled(name: str, facts: int, seed: int, statistics: Statistics | None) -> Workload:
    """Its facts stand in a seeded order, each with its new object."""
    folder = bundled(name)
    live = load(str(folder))
    preset = find_preset(name, live.depth)
    if statistics is None:
        texts = (folder / CORPUS).read_text(encoding="utf-8").splitlines()
        statistics = second_moments(live, texts, preset.layers, max_tokens=FIRST_START_TOKENS)
    return Workload(name, live, preset, contexts_of(live, str(folder)), statistics, _facts(name, facts, seed))


def _facts(name: str, count: int, seed: int) -> tuple[Fact, ...]:
    records = json.loads((bundled(name) / "facts.json").read_text(encoding="utf-8"))
    random.Random(seed).shuffle(records)
    rewrites = (record["requested_rewrite"] for record in records[:count])
    return tuple(Fact(item["subject"], item["prompt"], item["target_new"]["str"]) for item in rewrites)

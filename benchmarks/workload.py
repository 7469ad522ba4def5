"""What a benchmark edits: a model with all that an edit of it needs, and facts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.shapes import random_model
from benchmarks.synthetic_facts import CONTEXTS, synthetic_facts, trained_tokenizer
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets import find_preset
from workers.editing.presets.preset import Preset
from workers.editing.priors import PriorSource, plan_layers
from workers.editing.statistics import Statistics
from workers.editing.types import Fact, Priors

MOMENT_RANK = 1024
MOMENT_SCALE = 0.4
MOMENT_RIDGE = 0.1
"""Random statistics: a part of low rank, as real keys have, and a ridge that makes them positive definite."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A model, never edited itself; ``contexts`` start with the bare one; ``facts`` in the order of their use."""

    name: str
    live: EditableModel
    preset: Preset
    contexts: tuple[str, ...]
    statistics: Statistics
    facts: tuple[Fact, ...]

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that the preset's plan changes."""
        return plan_layers(self.preset)

    def with_settings(self, **overrides: object) -> Workload:
        """The same with other hyperparameters."""
        return replace(self, preset=self.preset.with_overrides(overrides))

    def priors(self) -> Priors:
        """The priors of a first batch."""
        source = PriorSource(self.live, self.statistics)
        return {layer: source.at(layer) for layer in self.layers}

    def shadow(self) -> EditableModel:
        """A fresh tree to edit."""
        return self.live.shadow(self.layers)


def random_workload(
    shape: str, facts: int, *, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> Workload:
    """A random model of that shape under its published preset (else the generic one), with made-up facts.

    In a random model no fact converges early, and each takes all its gradient steps.
    """
    live = EditableModel.of(random_model(shape, device, dtype, seed), trained_tokenizer(seed))
    preset = find_preset(shape, live.depth)
    statistics = random_statistics(live, preset.layers, seed)
    return Workload(shape, live, preset, CONTEXTS, statistics, synthetic_facts(facts, seed + 1))


def random_statistics(live: EditableModel, layers: tuple[int, ...], seed: int) -> Statistics:
    """Second moments of the right shapes, drawn on the model's device: a solve's cost does not depend on the values."""
    generator = torch.Generator(device=live.device).manual_seed(seed)
    return Statistics({layer: random_moment(live.key_width(layer), generator) for layer in layers}, tokens=0)


def random_moment(width: int, generator: torch.Generator) -> Tensor:
    """A positive definite matrix (width, width), symmetric to the bit, float32, on the generator's device."""
    rank = min(width, MOMENT_RANK)
    sample = torch.randn(width, rank, generator=generator, device=generator.device)
    product = sample @ sample.T
    moment = (product + product.T).mul_(MOMENT_SCALE / (2 * rank))
    moment.diagonal().add_(MOMENT_RIDGE)
    return moment

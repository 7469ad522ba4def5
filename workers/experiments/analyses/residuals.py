"""The residuals that all analyses compare: computed at each critical layer, and spread from the last one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from app.domain.storage import durable_files
from workers.editing.descent.targets import Descended, descended
from workers.editing.keys import outputs_at
from workers.editing.layer_plans import find_plan
from workers.editing.methods import METHODS
from workers.editing.model.editable_model import EditableModel
from workers.editing.types import Silent
from workers.experiments.analyses.workbench import METHOD, Workbench
from workers.experiments.sequence import Heard


class Kind(StrEnum):
    """Where the residual of a layer comes from; a spread has the name of its plan."""

    COMPUTED = "computed"
    EVEN = "even"
    SQRT = "sqrt"


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """Of some facts at all critical layers of an unedited model.

    computed: by layer R*_l (d_out, n), float64: what a descent at that layer adds to its output at the lookup token.
    steps: by layer, of each fact, the gradient steps that took, (n,), int64.
    """

    computed: Mapping[int, Tensor]
    steps: Mapping[int, Tensor]

    @property
    def last(self) -> Tensor:
        """R_L, (d_out, n)."""
        return self.computed[max(self.computed)]

    def at(self, layer: int, kind: Kind) -> Tensor:
        """R*_l, or the part of R_L that a spread gives to the layer: R_L / (L - l + 1) (eq. 6), or by its root."""
        if kind is Kind.COMPUTED:
            return self.computed[layer]
        [share] = [step.share for step in find_plan(kind.value)(sorted(self.computed)) if step.layer == layer]
        return self.last * share

    def save(self, path: Path) -> None:
        """Write ``computed.{layer}`` and ``steps.{layer}``, whole or not at all."""
        tensors = {f"computed.{layer}": found.contiguous().cpu() for layer, found in self.computed.items()}
        tensors |= {f"steps.{layer}": found.contiguous().cpu() for layer, found in self.steps.items()}
        durable_files.replace_file(path, save(tensors))

    @classmethod
    def read(cls, path: Path, device: torch.device) -> Residuals:
        """What ``save`` has written."""
        found = {name: tensor.to(device) for name, tensor in load(path.read_bytes()).items()}

        def named(kind: str) -> dict[int, Tensor]:
            names = {name: name.removeprefix(kind) for name in found if name.startswith(kind)}
            return {int(layer): found[name] for name, layer in sorted(names.items(), key=lambda each: int(each[1]))}

        return cls(named("computed."), named("steps."))


def compute(bench: Workbench, heard: Heard) -> Residuals:
    """All residuals: a descent a critical layer, each on the unedited model.

    Raises:
        NonFiniteUpdate: a loss is NaN or infinite.
    """
    computed, steps = {}, {}
    for layer in bench.layers:
        heard(f"residuals are computed at layer {layer}")
        computed[layer], steps[layer] = residual_at(bench, bench.live, layer, slice(None))
    return Residuals(computed, steps)


def residual_at(bench: Workbench, model: EditableModel, layer: int, part: slice) -> tuple[Tensor, Tensor]:
    """The residual (d_out, n) of some facts at a layer, as a model's weights are, and their gradient steps (n,).

    Raises:
        NonFiniteUpdate: a loss is NaN or infinite.
    """
    facts, objective = bench.chosen.tokenised[part], METHODS[METHOD].objective
    groups = bench.groups[: len(facts)]
    found: Descended = descended(model, facts, groups, layer, objective, bench.preset, Silent())
    current = outputs_at(model, facts, layer, bench.preset.max_batch_tokens, objective.solved_for)
    return found.targets - current, found.steps

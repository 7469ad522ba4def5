"""Target vectors Z of a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.editing.descent.descent import Descent
from workers.editing.groups import Group
from workers.editing.lookup import TokenisedFact
from workers.editing.model.editable_model import EditableModel
from workers.editing.objective import Objective
from workers.editing.presets.preset import Preset
from workers.editing.types import Observer


@dataclass(frozen=True, slots=True)
class Descended:
    """Targets Z (d_out, groups), float64, and of each fact of the groups, one group after another, (facts,): the last
    NLL of its object that was measured before the last step, NaN where no step was taken; gradient steps, int64."""

    targets: Tensor
    losses: Tensor
    steps: Tensor


def targets_at(
    editable: EditableModel,
    facts: Sequence[TokenisedFact],
    groups: Sequence[Group],
    layer: int,
    objective: Objective,
    preset: Preset,
    observer: Observer,
) -> Tensor:
    """The targets alone of ``descended``."""
    return descended(editable, facts, groups, layer, objective, preset, observer).targets


def descended(
    editable: EditableModel,
    facts: Sequence[TokenisedFact],
    groups: Sequence[Group],
    layer: int,
    objective: Objective,
    preset: Preset,
    observer: Observer,
) -> Descended:
    """Targets Z (d_out, groups), float64: what the objective's first site should give at the lookup token.

    The δ, one a site, minimise together, over the group's facts, the mean over contexts, as which
    taught prompts count, of the mean NLL of the object's tokens + kl_factor · KL(p_δ ‖ p_0) of the next token after
    "{subject} is a" + v_weight_decay · Σ ‖δ‖ / ‖h₀‖²
    (ROME, eq. 4; MEMIT's and PMET's released code), with Adam, each ‖δ‖ ≤ clamp_norm_factor · ‖h₀‖ after each step,
    h₀ what its site gives for the bare prompt. Z = h₀ + δ. ``preset.early_stop`` ends it before its loss does.

    Differs from the released code in cost alone: all groups of a chunk step together (Adam is elementwise), and the
    last pass, which only measures, is left out. Memory is bounded by ``preset.max_batch_tokens``.

    Raises:
        NonFiniteUpdate: a loss is NaN or infinite.
    """
    found, losses, steps, done = [], [], [], 0
    for chunk in _chunks(facts, groups, preset.max_batch_tokens):
        descent = Descent(editable, facts, chunk, layer, objective, preset)
        found.append(descent.run(observer, done, len(facts)))
        losses.append(descent.reached)
        steps.append(descent.steps)
        done += sum(len(group.members) for group in chunk)
    return Descended(torch.cat(found, dim=1), torch.cat(losses), torch.cat(steps))


def _chunks(facts: Sequence[TokenisedFact], groups: Sequence[Group], limit: int) -> list[list[Group]]:
    """Groups in chunks whose rows hold at most ``limit`` tokens (a single group may hold more)."""
    chunks: list[list[Group]] = [[]]
    used = 0
    for group in groups:
        size = sum(len(each.row.ids) + len(each.object) for i in group.members for each in facts[i].continued)
        if chunks[-1] and used + size > limit:
            chunks.append([])
            used = 0
        chunks[-1].append(group)
        used += size
    return chunks

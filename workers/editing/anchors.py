"""Norm anchors (Liu et al., 2026, "Norm Anchors Make Model Edits Last", 2602.02543): values keep the norm that they
have on the unedited model.

A value v* is what the down-projection shall give for a fact: v* = m + (Z - H), with m what it gives now. Weights that
grew give longer outputs, from which a descent makes longer values, which make the weights grow. So v* is scaled to

a = the mean ‖v*‖ of pilot facts on the unedited model, and Z moves by as much: Z' = Z + (a / ‖v*‖ - 1) v*.

Pilots and model stay the same, so the anchor does, too: nothing of it needs to be kept with a model's versions.
Differs from the released code in the pilots: some thirty prompts about the world, each with another one's subject as
its object, and not a thousand facts of CounterFact; and a value of more than twice the anchor is scaled like the
others, where the code leaves the fact unwritten.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import normalize

from workers.editing.descent.targets import targets_at
from workers.editing.groups import group_by_key
from workers.editing.keys import outputs_at
from workers.editing.lookup import TokenisedFact
from workers.editing.model.anatomy import Site
from workers.editing.model.editable_model import EditableModel
from workers.editing.objective import Objective
from workers.editing.presets.preset import Preset
from workers.editing.probes import pilots
from workers.editing.types import Silent

LEFT_OUT = 0.05
"""The share of pilots, those of the longest values, that the mean is not over (the released code)."""


def anchor_norm(unedited: EditableModel, layer: int, objective: Objective, preset: Preset) -> float:
    """a at one layer: the pilots descend in their bare prompts, as the preset says.

    Raises:
        InvalidHyperparameter: no pilot fits into the model's window. NonFiniteUpdate: a loss is NaN or infinite.
    """
    facts, limit, site = pilots(unedited), preset.max_batch_tokens, objective.solved_for
    targets = targets_at(unedited, facts, group_by_key(facts, strict=True), layer, objective, preset, Silent())
    norms = _values(unedited, facts, targets, layer, site, limit).norm(dim=0).sort().values
    return float(norms[: len(norms) - int(LEFT_OUT * len(norms))].mean())


def anchored(
    editable: EditableModel,
    facts: Sequence[TokenisedFact],
    targets: Tensor,
    layer: int,
    site: Site,
    anchor: float,
    max_batch_tokens: int,
) -> Tensor:
    """Z' (d_out, n), float64, of the targets Z (d_out, n) of a site, whose values then have the norm ``anchor``."""
    values = _values(editable, facts, targets, layer, site, max_batch_tokens)
    return targets + anchor * normalize(values, dim=0) - values


def _values(
    editable: EditableModel,
    facts: Sequence[TokenisedFact],
    targets: Tensor,
    layer: int,
    site: Site,
    max_batch_tokens: int,
) -> Tensor:
    """v* (d_out, n): at the down-projection itself, the targets."""
    if site is Site.DOWN_PROJECTION:
        return targets
    given = outputs_at(editable, facts, layer, max_batch_tokens, Site.DOWN_PROJECTION)
    return given + targets - outputs_at(editable, facts, layer, max_batch_tokens, site)

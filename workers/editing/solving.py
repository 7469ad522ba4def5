"""Solving one round of a batch, layer step by layer step: targets -> keys -> residual -> solve -> update."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from app.domain.errors import JobFailed, NonFiniteUpdate
from workers.editing.aims import Aims
from workers.editing.anchors import anchored
from workers.editing.carried import carried_targets
from workers.editing.groups import group_leaders
from workers.editing.keys import outputs_at
from workers.editing.lookup import TokenisedFact
from workers.editing.methods import Method
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.updates import WeightUpdate
from workers.editing.presets.preset import Preset
from workers.editing.priors import plan_steps
from workers.editing.rounds import Round
from workers.editing.shares import realised_shares
from workers.editing.types import Fact, Found, LayerPrior, Priors


@dataclass(frozen=True, slots=True)
class Solved:
    """What came of a round. shares: by layer, of each group, the part of its residual that is realised."""

    updates: dict[int, WeightUpdate]
    shares: dict[int, tuple[float, ...]]
    found: dict[tuple[Fact, ...], Found]


def solve(
    shadow: EditableModel,
    tokenised: Sequence[TokenisedFact],
    members: Round,
    method: Method,
    priors: Priors,
    preset: Preset,
    aims: Aims,
    before: Sequence[WeightUpdate] = (),
) -> Solved:
    """The update of every layer of the plan, for the round's groups; each is put into the shadow before the next step.

    aims: the round's targets. before: what earlier rounds have put into the shadow.

    Raises:
        NonFiniteUpdate: NaN or infinity on the way. JobFailed: a solve has no answer.
        Whatever the observer raises, between two steps.
    """
    leaders = group_leaders(tokenised, members.groups)  # members of a group have one key: one column
    targets: dict[int, Tensor] = {}
    updates: dict[int, WeightUpdate] = {}
    shares: dict[int, tuple[float, ...]] = {}
    steps, site = plan_steps(preset), method.objective.solved_for
    for step in steps:
        added = (*before, *updates.values())
        if step.target_layer not in targets:
            found = aims.at(shadow, step.target_layer, preset, members.watch, added)
            anchor = priors[step.target_layer].anchor
            if anchor is not None:
                limit = preset.max_batch_tokens
                found = anchored(shadow, leaders, found, step.target_layer, site, anchor, limit)
            targets[step.target_layer] = found
            for later in (each.target_layer for each in steps if each.carried_from == step.layer):
                targets[later] = carried_targets(
                    shadow, leaders, step.layer, found, later, preset.max_batch_tokens, site
                )
        members.watch.solving(step.layer)
        limit = preset.max_batch_tokens
        made = aims.crew.keys(shadow, tokenised, members.groups, (step.layer,), limit, added)
        keys = finite_keys(made[step.layer], step.layer)
        current = outputs_at(shadow, leaders, step.target_layer, preset.max_batch_tokens, site)
        residual = ((targets[step.target_layer] - current) * step.share).to(keys.device)  # from the target layer's
        right = _right_factor(step.layer, keys, method, priors[step.layer], preset, aims.weights)
        updates[step.layer] = _update(shadow, step.layer, residual, right, keys)
        shares[step.layer] = tuple(realised_shares(right, keys).tolist())
        shadow.add(updates[step.layer])
    return Solved(updates, shares, aims.found)


def _right_factor(
    layer: int, keys: Tensor, method: Method, prior: LayerPrior, preset: Preset, weights: Tensor | None
) -> Tensor:
    """The method's factor (n, d_in) of keys (d_in, n), each of which counts ``weights`` (n,) times: as if it, and its
    residual, stood there so often, which is one column of √w times its length."""
    assert method.right_factor is not None
    prior = method.respected(prior, preset)
    with answers(layer):
        if weights is None:
            return method.right_factor(keys, prior, preset)
        root = weights.to(keys.device).sqrt()
        return method.right_factor(keys * root, prior, preset) * root.unsqueeze(1)


def _update(shadow: EditableModel, layer: int, residual: Tensor, right: Tensor, keys: Tensor) -> WeightUpdate:
    """One layer's update in the dtype of the weight's master, as it will be kept and applied again."""
    if not (torch.isfinite(residual).all() and torch.isfinite(right).all()):
        raise NonFiniteUpdate(f"the update of layer {layer} is not finite", field="layers", value=layer)
    dtype = shadow.master(layer).dtype
    return WeightUpdate(layer, residual.to(dtype).contiguous(), right.to(dtype).contiguous(), keys)


def finite_keys(keys: Tensor, layer: int) -> Tensor:
    """The keys (d_in, n) of a layer.

    Raises:
        NonFiniteUpdate: one is NaN or infinite.
    """
    if not torch.isfinite(keys).all():
        raise NonFiniteUpdate(f"the keys of layer {layer} are not finite", field="layers", value=layer)
    return keys


@contextmanager
def answers(layer: int) -> Iterator[None]:
    """Raise JobFailed where linear algebra has no answer."""
    try:
        yield
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        detail = f"the solve at layer {layer} has no answer: {error}"
        raise JobFailed(detail, field="layers", value=layer) from None

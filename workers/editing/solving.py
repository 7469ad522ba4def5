"""Solving one round of a batch, layer step by layer step: targets -> keys -> residual -> solve -> update."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from app.domain.errors import JobFailed, NonFiniteUpdate
from workers.editing.descent.targets import targets_at
from workers.editing.keys import keys_at, outputs_at
from workers.editing.lookup import TokenisedFact
from workers.editing.methods import Method
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.updates import WeightUpdate
from workers.editing.presets.preset import Preset
from workers.editing.priors import plan_steps
from workers.editing.rounds import Round
from workers.editing.types import LayerPrior, Priors


def solve(
    shadow: EditableModel,
    tokenised: Sequence[TokenisedFact],
    members: Round,
    method: Method,
    priors: Priors,
    preset: Preset,
) -> dict[int, WeightUpdate]:
    """The update of every layer of the plan, for the round's groups; each is put into the shadow before the next step.

    Raises:
        NonFiniteUpdate: NaN or infinity on the way. JobFailed: a solve has no answer.
        Whatever the observer raises, between two steps.
    """
    leaders = [tokenised[group.members[0]] for group in members.groups]  # members of a group have one key: one column
    targets: dict[int, Tensor] = {}
    updates: dict[int, WeightUpdate] = {}
    for step in plan_steps(preset):
        if step.target_layer not in targets:
            targets[step.target_layer] = targets_at(
                shadow, tokenised, members.groups, step.target_layer, method.objective, preset, members.watch
            )
        members.watch.solving(step.layer)
        keys = finite_keys(keys_at(shadow, leaders, step.layer, preset.max_batch_tokens), step.layer)
        site = method.objective.solved_for
        current = outputs_at(shadow, leaders, step.target_layer, preset.max_batch_tokens, site)
        residual = (targets[step.target_layer] - current) * step.share
        updates[step.layer] = _update(shadow, step.layer, residual, keys, method, priors[step.layer], preset)
        shadow.add(updates[step.layer])
    return updates


def _update(
    shadow: EditableModel,
    layer: int,
    residual: Tensor,
    keys: Tensor,
    method: Method,
    prior: LayerPrior,
    preset: Preset,
) -> WeightUpdate:
    """One layer's update in the dtype of the weight's master, as it will be kept and applied again."""
    assert method.right_factor is not None
    with answers(layer):
        right = method.right_factor(keys, prior, preset)
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

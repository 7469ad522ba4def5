"""The pipeline of an edit, the same for every method: tokenise, group, then layer step by layer step
targets -> keys -> residual -> solve -> update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from app.domain.errors import EditError, EditFailed, NonFiniteUpdate
from workers.editing.architectures import EditableModel
from workers.editing.keys import keys_at, outputs_at
from workers.editing.layer_plans import find_plan
from workers.editing.lookup import TokenisedFact, tokenise
from workers.editing.methods import find_method
from workers.editing.preset import Preset
from workers.editing.targets import group_by_key, targets_at
from workers.editing.types import Fact, Observer, Priors, Silent, WeightUpdate


def tokenise_batch(editable: EditableModel, facts: Sequence[Fact], contexts: Sequence[str]) -> list[TokenisedFact]:
    """Tokenise every fact; an error names the fact's index (``facts.3.prompt``)."""
    found = []
    for index, fact in enumerate(facts):
        try:
            found.append(tokenise(editable.tokenizer, fact, contexts, editable.window))
        except EditError as error:
            raise error.at(f"facts.{index}") from None
    return found


def edit(
    shadow: EditableModel,
    facts: Sequence[Fact],
    preset: Preset,
    priors: Priors,
    contexts: Sequence[str],
    *,
    strict: bool = False,
    observer: Observer | None = None,
) -> list[WeightUpdate]:
    """Edit a batch of facts into ``shadow``, in place, and return what was added to each layer.

    Args:
        shadow: the model to edit; after an error its weights are undefined, so throw it away.
        priors: for every layer of the plan, second moment and previous keys.
        contexts: context templates, the bare ``{}`` first.
        strict: the published behaviour where a service would do better.

    Raises:
        RequestError: a fact, layer, method or plan is at fault. NonFiniteUpdate: NaN or infinity on the way.
        EditFailed: a solve has no answer (second moment and keys leave a direction empty).
        Whatever the observer raises, between two steps.
    """
    watch = observer or Silent()
    tokenised = tokenise_batch(shadow, facts, contexts)
    groups = group_by_key(tokenised, strict=strict)
    leaders = [tokenised[group.members[0]] for group in groups]  # one column a group: its members' keys are the same
    method = find_method(preset.method)
    targets: dict[int, Tensor] = {}
    updates: dict[int, WeightUpdate] = {}
    for step in find_plan(preset.plan)(preset.layers):
        if step.target_layer not in targets:
            targets[step.target_layer] = targets_at(shadow, tokenised, groups, step.target_layer, preset, watch)
        watch.solving(step.layer)
        keys = keys_at(shadow, leaders, step.layer, preset.max_batch_tokens)
        current = outputs_at(shadow, leaders, step.target_layer, preset.max_batch_tokens)
        residual = (targets[step.target_layer] - current) * step.share
        try:
            right = method.right_factor(keys, priors[step.layer], preset)
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            detail = f"the solve at layer {step.layer} has no answer: {error}"
            raise EditFailed(detail, field="layers", value=step.layer) from None
        updates[step.layer] = _stored(shadow, step.layer, residual, right, keys)
        shadow.add(updates[step.layer])
    return [
        replace(update, keys=keys_at(shadow, leaders, layer, preset.max_batch_tokens))
        for layer, update in updates.items()
    ]


def _stored(shadow: EditableModel, layer: int, left: Tensor, right: Tensor, keys: Tensor) -> WeightUpdate:
    """The update in the dtype of the weight's master, as it will be kept and applied again."""
    if not (torch.isfinite(left).all() and torch.isfinite(right).all()):
        raise NonFiniteUpdate(f"the update of layer {layer} is not finite", field="layers", value=layer)
    dtype = shadow.master(layer).dtype
    return WeightUpdate(layer, left.to(dtype).contiguous(), right.to(dtype).contiguous(), keys)


def grown(priors: Priors, updates: Sequence[WeightUpdate]) -> Priors:
    """The priors of the next batch: K_p grown by this batch's keys."""
    return {
        **priors,
        **{
            update.layer: priors[update.layer].with_previous_keys(
                torch.cat([priors[update.layer].previous_keys, update.keys], dim=1)
            )
            for update in updates
        },
    }

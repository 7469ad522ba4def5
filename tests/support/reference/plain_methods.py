"""RECT, PRUNE, ROME and FT-L straight from their equations: one fact at a time, whole prompts through the whole model,
dense solves, full decompositions. Of the plain editor they use the model, the keys, the targets and MEMIT's solve.

Each edits ``plain.model`` in place, batch after batch, and gives every layer's change against the base model, (d_out,
d_in), after each batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tests.support.reference.plain_editor import (
    Facts,
    PlainModel,
    PlainSettings,
    edit_batch,
    key_of,
    keys_of,
    locate,
    no_keys,
    output_of,
    planned,
    target_of,
)

History = list[dict[int, Tensor]]


def by_rect(
    plain: PlainModel,
    batches: Sequence[Facts],
    settings: PlainSettings,
    contexts: Sequence[str],
    second_moments: dict[int, Tensor],
    share: float,
    *,
    knows_history: bool = False,
) -> History:
    """MEMIT, mostly without previous keys; of each layer's update the entries of largest |Δ / (W + 1e-8)|."""
    base = {layer: plain.weight(layer) for layer in planned(settings)}
    previous, history = no_keys(second_moments), []
    for batch in batches:
        before = {layer: plain.weight(layer) for layer in base}
        updates = edit_batch(plain, batch, settings, contexts, second_moments, previous)
        for layer, update in updates.items():
            order = (update / (before[layer] + 1e-8)).abs().flatten().argsort()
            kept = torch.zeros(update.numel(), dtype=torch.bool)
            kept[order[int((1 - share) * update.numel()) - 1 :]] = True
            plain.set(layer, before[layer] + update * kept.view_as(update))
        for layer in base if knows_history else ():
            previous[layer] = torch.cat([previous[layer], keys_of(plain, layer, contexts, batch)], dim=1)
        history.append({layer: plain.weight(layer) - base[layer] for layer in base})
    return history


def by_prune(
    plain: PlainModel,
    batches: Sequence[Facts],
    settings: PlainSettings,
    contexts: Sequence[str],
    second_moments: dict[int, Tensor],
    *,
    knows_history: bool = True,
) -> History:
    """MEMIT, mostly with previous keys; after every batch W = W_0 + f(sum of all updates)."""
    base = {layer: plain.weight(layer) for layer in planned(settings)}
    total = {layer: torch.zeros_like(weight) for layer, weight in base.items()}
    previous, history = no_keys(second_moments), []
    for batch in batches:
        for layer, update in edit_batch(plain, batch, settings, contexts, second_moments, previous).items():
            total[layer] = total[layer] + update
        for layer, change in total.items():
            left, values, right = torch.linalg.svd(change, full_matrices=False)
            largest = torch.linalg.svdvals(base[layer])[0]
            taken_down = torch.log(values) - torch.log(largest) + largest
            plain.set(layer, base[layer] + left @ torch.diag(torch.where(values > largest, taken_down, values)) @ right)
        for layer in base if knows_history else ():
            previous[layer] = torch.cat([previous[layer], keys_of(plain, layer, contexts, batch)], dim=1)
        history.append({layer: plain.weight(layer) - base[layer] for layer in base})
    return history


def by_rome(
    plain: PlainModel,
    batches: Sequence[Facts],
    settings: PlainSettings,
    contexts: Sequence[str],
    second_moments: dict[int, Tensor],
) -> History:
    """At the last critical layer, fact after fact: Δ = (v* - W k) uᵀ / (uᵀ k), u = C⁻¹ k."""
    layer = settings.layers[-1]
    base, site, history = plain.weight(layer), plain.down_projections[layer], []
    inverse = torch.linalg.inv(second_moments[layer].double())
    for batch in batches:
        for fact in batch:
            subject, prompt, _ = fact
            target = target_of(plain, site, contexts, fact, settings)
            key = key_of(plain, layer, contexts, prompt, subject)
            direction = inverse @ key
            missing = target - output_of(plain, site, prompt, subject)
            plain.add(layer, torch.outer(missing, direction) / (direction @ key))
        history.append({layer: plain.weight(layer) - base})
    return history


@dataclass(frozen=True)
class PlainTuning:
    """FT-L's hyperparameters by their published names."""

    layer: int
    num_steps: int
    lr: float
    norm_constraint: float


def by_ft_l(plain: PlainModel, batches: Sequence[Facts], tuning: PlainTuning) -> History:
    """Adam on the weight itself, cut back to norm_constraint around where it was before the batch."""
    base, weight, history = plain.weight(tuning.layer), plain.down_projections[tuning.layer].weight, []
    assert isinstance(weight, nn.Parameter)
    for batch in batches:
        before = weight.detach().clone()
        weight.requires_grad = True
        optimizer = torch.optim.Adam([weight], lr=tuning.lr)
        for _ in range(tuning.num_steps):
            optimizer.zero_grad()
            loss = torch.stack([nll_of(plain, fact) for fact in batch]).mean()
            if loss < 1e-2:
                break
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                weight.copy_(weight.clamp(before - tuning.norm_constraint, before + tuning.norm_constraint))
        weight.requires_grad = False
        history.append({tuning.layer: plain.weight(tuning.layer) - base})
    return history


def nll_of(plain: PlainModel, fact: tuple[str, str, str]) -> Tensor:
    """Mean NLL of the object's tokens after the bare prompt."""
    subject, prompt, object_ = fact
    ids, _ = locate(plain, "{}", prompt, subject)
    labels = plain.tokenizer(" " + object_, add_special_tokens=False)["input_ids"]
    logits = plain.model(input_ids=torch.tensor([ids + labels[:-1]])).logits[0]
    return nn.functional.cross_entropy(logits[len(ids) - 1 :], torch.tensor(labels))

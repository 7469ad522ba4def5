"""Editing as the released code goes about it, for comparison on any device: one fact at a time, whole prompts through
the whole model in every gradient step, all logits. No prefix is kept, no fact shares a pass with another.

It shares with the engine only what is not compared here: tokenising, layer plans, the dense solve, and where a model
keeps its parts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.machine import synchronise
from workers.editing.layer_plans import find_plan
from workers.editing.lookup import TokenisedFact, tokenise
from workers.editing.methods.memit import dense_right_factor
from workers.editing.model.editable_model import EditableModel, first
from workers.editing.model.micro_batches import right_padded
from workers.editing.model.updates import WeightUpdate
from workers.editing.presets.preset import Preset
from workers.editing.text.model_text import ModelText
from workers.editing.types import Fact, Priors

CONVERGED = 0.05


@dataclass(frozen=True, slots=True)
class NaiveEdit:
    """Each layer's update; ``solve_s``: the part of the time that the solves took."""

    updates: list[WeightUpdate]
    solve_s: float


def naive_edit(
    editable: EditableModel, facts: Sequence[Fact], preset: Preset, priors: Priors, contexts: Sequence[str]
) -> NaiveEdit:
    """Edit ``editable`` in place: MEMIT by the preset's plan, the batch solved for together, densely."""
    words = ModelText.of(editable.tokenizer)
    tokenised = [tokenise(words, fact, contexts, editable.window) for fact in facts]
    targets: dict[int, Tensor] = {}
    updates, solve_s = [], 0.0
    for step in find_plan(preset.plan)(preset.layers):
        at = step.target_layer
        if at not in targets:
            targets[at] = torch.stack([_target(editable, fact, at, preset) for fact in tokenised], dim=1)
        keys = torch.stack([_key(editable, fact, step.layer) for fact in tokenised], dim=1)
        current = torch.stack([_output(editable, fact, at) for fact in tokenised], dim=1)
        synchronise(editable.device)
        start = time.perf_counter()
        right = dense_right_factor(keys, priors[step.layer], preset)
        synchronise(editable.device)
        solve_s += time.perf_counter() - start
        dtype = editable.master(step.layer).dtype
        residual = (targets[at] - current) * step.share
        updates.append(WeightUpdate(step.layer, residual.to(dtype), right.to(dtype), keys))
        editable.add(updates[-1])
    return NaiveEdit(updates, solve_s)


def _target(editable: EditableModel, fact: TokenisedFact, layer: int, preset: Preset) -> Tensor:
    """Z (d_out,), float64, by gradient descent on one δ."""
    rows = [(*row.ids, *fact.object[:-1]) for row in fact.prompts] + [fact.essence.ids]
    ids, mask = right_padded(rows, editable.device)
    lookups = torch.tensor([row.lookup for row in (*fact.prompts, fact.essence)], device=editable.device)
    start = _output(editable, fact, layer).float()
    delta = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([delta], lr=preset.v_lr)
    essence: Tensor | None = None
    for step in range(preset.v_num_grad_steps):
        optimizer.zero_grad()
        logits = _shifted_logits(editable, ids, mask, layer, lookups, delta)
        after = torch.log_softmax(logits[-1, lookups[-1]].float(), dim=-1)
        essence = after.detach().clone() if essence is None else essence
        loss = _nll(logits, rows, fact) + preset.kl_factor * (after.exp() * (after - essence)).sum()
        loss = loss + preset.v_weight_decay * delta.norm() / start.norm() ** 2
        if float(loss.detach()) < CONVERGED or step == preset.v_num_grad_steps - 1:
            break
        loss.backward()
        optimizer.step()
        bound = preset.clamp_norm_factor * start.norm()
        with torch.no_grad():
            delta.mul_((bound / delta.norm()).clamp(max=1.0))
    return (start + delta.detach()).double()


def _shifted_logits(
    editable: EditableModel, ids: Tensor, mask: Tensor, layer: int, lookups: Tensor, delta: Tensor
) -> Tensor:
    """All logits (rows, tokens, vocabulary) with δ added to the block's output at each row's lookup token."""
    rows = torch.arange(len(ids), device=ids.device)

    def shift(_module: nn.Module, _args: Any, output: Any) -> Any:
        states = first(output)
        states = states.index_put((rows, lookups), delta.to(states.dtype).expand(len(ids), -1), accumulate=True)
        return states if isinstance(output, Tensor) else (states, *output[1:])

    handle = editable.block(layer).register_forward_hook(shift)
    try:
        logits: Tensor = editable.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    finally:
        handle.remove()
    return logits


def _nll(logits: Tensor, rows: Sequence[Sequence[int]], fact: TokenisedFact) -> Tensor:
    """Mean over contexts of the mean NLL of the object's tokens."""
    labels = torch.tensor(fact.object, device=logits.device)
    losses = []
    for row in range(len(fact.prompts)):
        predicted = logits[row, len(rows[row]) - len(labels) : len(rows[row])].float()
        losses.append(nn.functional.cross_entropy(predicted, labels))
    return torch.stack(losses).mean()


@torch.no_grad()
def _key(editable: EditableModel, fact: TokenisedFact, layer: int) -> Tensor:
    """Half the key in the bare prompt, half the mean of those in the other contexts, (d_in,), float64."""
    seen: list[Tensor] = []
    handle = editable.projection(layer).register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    try:
        for row in fact.prompts:
            editable.model(input_ids=torch.tensor([row.ids], device=editable.device), use_cache=False)
    finally:
        handle.remove()
    keys = [states.view(-1, states.shape[-1])[row.lookup] for states, row in zip(seen, fact.prompts, strict=True)]
    return (keys[0].double() + torch.stack(keys[1:]).double().mean(dim=0)) / 2


@torch.no_grad()
def _output(editable: EditableModel, fact: TokenisedFact, layer: int) -> Tensor:
    """The block's output at the lookup token of the bare prompt, (d_out,), float64."""
    row, seen = fact.prompts[0], []
    handle = editable.block(layer).register_forward_hook(lambda _m, _a, output: seen.append(first(output)))
    try:
        editable.model(input_ids=torch.tensor([row.ids], device=editable.device), use_cache=False)
    finally:
        handle.remove()
    return seen[0][0, row.lookup].double()

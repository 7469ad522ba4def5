"""PMET as its paper and released code compute it: one fact at a time, whole prompts through the whole model. Written
straight from the equations; of the plain editor it uses the model, the keys and the solve.

Shapes: keys K (d_in, n), targets Z and outputs H (d_out, n), update (d_out, d_in).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from tests.support.reference.plain_editor import (
    Facts,
    PlainModel,
    PlainSettings,
    hidden,
    key_of,
    locate,
    solve,
    with_hook,
)


def changed(out: Any, states: Tensor) -> Any:
    """A module's output with other hidden states."""
    return states if isinstance(out, Tensor) else (states, *out[1:])


def outputs_of(plain: PlainModel, modules: Sequence[nn.Module], prompt: str, subject: str) -> list[Tensor]:
    """What each module gives at the lookup token of the bare prompt."""
    ids, index = locate(plain, "{}", prompt, subject)
    seen: list[Tensor] = []
    for module in modules:
        with_hook(
            module,
            lambda _m, _a, out: seen.append(hidden(out).reshape(len(ids), -1)),
            lambda: plain.model(input_ids=torch.tensor([ids])),
        )
    return [states[index].detach().clone() for states in seen]


def shifting(delta: Tensor, rows: Sequence[tuple[list[int], int]]) -> Any:
    """A hook that adds δ at every row's lookup token; some families flatten rows and tokens."""

    def hook(_module: nn.Module, _args: Any, out: Any) -> Any:
        states = hidden(out).reshape(len(rows), -1, len(delta)).clone()
        for row, (_, index) in enumerate(rows):
            states[row, index] = states[row, index] + delta
        return changed(out, states.reshape(hidden(out).shape))

    return hook


def nll_of(logits: Tensor, rows: Sequence[tuple[list[int], int]], object_ids: list[int]) -> tuple[Tensor, bool]:
    """The mean over contexts of the mean NLL of the object's tokens; whether each is the likeliest one."""
    found, likeliest = [], True
    for row, (ids, _) in enumerate(rows):
        log_probabilities = torch.log_softmax(logits[row], dim=-1)
        places = range(len(ids) - len(object_ids), len(ids))
        picked = [log_probabilities[place, label] for place, label in zip(places, object_ids, strict=True)]
        found.append(-torch.stack(picked).mean())
        likeliest &= [int(log_probabilities[place].argmax()) for place in places] == object_ids
    return torch.stack(found).mean(), likeliest


def clamp(delta: Tensor, bound: Tensor) -> None:
    """Scale δ back to the bound, in place."""
    with torch.no_grad():
        if delta.norm() > bound:
            delta *= bound / delta.norm()


def target_of(
    plain: PlainModel,
    attention: nn.Module,
    layer: int,
    contexts: Sequence[str],
    fact: tuple[str, str, str],
    settings: PlainSettings,
) -> Tensor:
    """Gradient descent on two δ, added to what MLP and attention give at the lookup token; the MLP's target."""
    subject, prompt, object_ = fact
    object_ids = plain.tokenizer(" " + object_, add_special_tokens=False)["input_ids"]
    rows = [locate(plain, context, prompt, subject) for context in contexts]
    rows = [(ids + object_ids[:-1], index) for ids, index in rows]
    rows.append(locate(plain, "{}", "{} is a", subject))
    longest = max(len(ids) for ids, _ in rows)
    input_ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows])
    modules = (plain.down_projections[layer], attention)
    starts = outputs_of(plain, modules, prompt, subject)
    deltas = [torch.zeros_like(start, requires_grad=True) for start in starts]
    optimizer = torch.optim.Adam(deltas, lr=settings.v_lr)
    nll_weight, essence_before = 1.0, torch.empty(0)
    for step in range(settings.v_num_grad_steps):
        optimizer.zero_grad()
        with ExitStack() as stack:
            for module, delta in zip(modules, deltas, strict=True):
                stack.callback(module.register_forward_hook(shifting(delta, rows)).remove)
            logits = plain.model(input_ids=input_ids, attention_mask=mask).logits
        essence = torch.log_softmax(logits[-1, rows[-1][1]], dim=-1)
        if step == 0:
            essence_before = essence.detach().clone()
        nll, likeliest = nll_of(logits, rows[:-1], object_ids)
        divergence = (essence.exp() * (essence - essence_before)).sum()
        decay = sum(delta.norm() / start.norm() ** 2 for delta, start in zip(deltas, starts, strict=True))
        loss = nll_weight * nll + settings.kl_factor * divergence + settings.v_weight_decay * decay
        done = loss < 0.05 or (likeliest and divergence < 0.01)
        if done or step == settings.v_num_grad_steps - 1:
            break
        loss.backward()
        optimizer.step()
        for delta, start in zip(deltas, starts, strict=True):
            clamp(delta, settings.clamp_norm_factor * start.norm())
        nll_weight = 0.1 if likeliest else nll_weight
    return (starts[0] + deltas[0].detach()).double()


def edit_by_pmet(
    plain: PlainModel,
    attentions: Sequence[nn.Module],
    batches: Sequence[Facts],
    settings: PlainSettings,
    contexts: Sequence[str],
    second_moments: dict[int, Tensor],
) -> list[dict[int, Tensor]]:
    """Edit ``plain.model`` in place, batch after batch; the update of every layer in every batch."""
    first, last = settings.layers[0], settings.layers[-1]
    count = len(settings.layers)
    plans: dict[str, list[tuple[int, int, float]]] = {  # layer, target layer, what the residual is divided by
        "boundary": [(first, first, 1.0), (last, last, 1.0)],
        "even": [(layer, last, count - at) for at, layer in enumerate(settings.layers)],
        "sqrt": [(layer, last, (count - at) ** 0.5) for at, layer in enumerate(settings.layers)],
    }
    steps = plans[settings.plan]
    previous = {layer: torch.zeros(len(second_moments[layer]), 0, dtype=torch.float64) for layer, _, _ in steps}
    history = []
    for batch in batches:
        targets: dict[int, Tensor] = {}
        updates: dict[int, Tensor] = {}
        for layer, target_layer, parts in steps:
            if target_layer not in targets:
                found = [
                    target_of(plain, attentions[target_layer], target_layer, contexts, fact, settings) for fact in batch
                ]
                targets[target_layer] = torch.stack(found, dim=1)
            site = [plain.down_projections[target_layer]]
            current = torch.stack([outputs_of(plain, site, prompt, subject)[0] for subject, prompt, _ in batch], dim=1)
            residual = (targets[target_layer] - current.double()) / parts
            keys = torch.stack([key_of(plain, layer, contexts, prompt, subject) for subject, prompt, _ in batch], dim=1)
            updates[layer] = solve(settings, keys, residual, second_moments[layer].double(), previous[layer])
            plain.add(layer, updates[layer])
        for layer in updates:
            keys = torch.stack([key_of(plain, layer, contexts, prompt, subject) for subject, prompt, _ in batch], dim=1)
            previous[layer] = torch.cat([previous[layer], keys], dim=1)
        history.append(updates)
    return history

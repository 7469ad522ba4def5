"""MEMIT and AlphaEdit as the paper and its released code compute them: one fact at a time, whole prompts through the
whole model, all logits, dense solves. Written straight from the equations and sharing nothing with the engine.

Shapes: keys K (d_in, n), targets Z and outputs H (d_out, n), update (d_out, d_in).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class PlainModel:
    """A model and where it keeps its parts, spelt out by the test."""

    model: Any
    tokenizer: Any
    blocks: Sequence[nn.Module]
    down_projections: Sequence[nn.Module]
    conv1d: bool

    def weight(self, layer: int) -> Tensor:
        """A copy of the weight, (d_out, d_in)."""
        weight = self.down_projections[layer].weight
        assert isinstance(weight, Tensor)
        return (weight.T if self.conv1d else weight).detach().clone()

    def set(self, layer: int, weight: Tensor) -> None:
        """Replace the weight by another (d_out, d_in)."""
        self.add(layer, weight - self.weight(layer))

    def add(self, layer: int, update: Tensor) -> None:
        """Add an update (d_out, d_in) to the weight, in place."""
        weight = self.down_projections[layer].weight
        assert isinstance(weight, Tensor)
        with torch.no_grad():
            weight += (update.T if self.conv1d else update).to(weight.dtype)


@dataclass(frozen=True)
class PlainSettings:
    """Published hyperparameters by their published names."""

    method: str
    plan: str
    layers: Sequence[int]
    v_num_grad_steps: int
    v_lr: float
    v_weight_decay: float
    kl_factor: float
    clamp_norm_factor: float
    mom2_update_weight: float
    L2: float
    nullspace_threshold: float


Facts = Sequence[tuple[str, str, str]]  # subject, prompt with {}, object


def locate(plain: PlainModel, context: str, prompt: str, subject: str) -> tuple[list[int], int]:
    """Ids of the prompt in its context, and the index of the subject's last token."""
    head, tail = prompt.split("{}")
    left, right = context.split("{}")
    text = left + head + subject + tail + right
    end = len(left + head + subject)
    encoding = plain.tokenizer(text, return_offsets_mapping=True)
    index = max(i for i, (a, b) in enumerate(encoding["offset_mapping"]) if a < end and b > a)
    return list(encoding["input_ids"]), index


def with_hook(module: nn.Module, hook: Callable[..., Any], run: Callable[[], Any]) -> Any:
    """Run something with one forward hook in place."""
    handle = module.register_forward_hook(hook)
    try:
        return run()
    finally:
        handle.remove()


def hidden(output: Any) -> Tensor:
    """Hidden states of a block's output."""
    found: Tensor = output if isinstance(output, Tensor) else output[0]
    return found


def key_of(plain: PlainModel, layer: int, contexts: Sequence[str], prompt: str, subject: str) -> Tensor:
    """Half the key in the bare prompt, half the mean of the keys in the other contexts."""
    found = []
    for context in contexts:
        ids, index = locate(plain, context, prompt, subject)
        found.append(input_of(plain, layer, ids)[index].double())
    return 0.5 * found[0] + 0.5 * torch.stack(found[1:]).mean(0)


def input_of(plain: PlainModel, layer: int, ids: list[int]) -> Tensor:
    """What the down-projection is given at every token, (tokens, d_in)."""
    seen: list[Tensor] = []
    with_hook(
        plain.down_projections[layer],
        lambda _m, args, _o: seen.append(args[0]),
        lambda: plain.model(input_ids=torch.tensor([ids])),
    )
    return seen[0].reshape(len(ids), -1).detach()


def output_of(plain: PlainModel, site: nn.Module, prompt: str, subject: str) -> Tensor:
    """What the site, a block or a part of it, gives at the lookup token of the bare prompt."""
    ids, index = locate(plain, "{}", prompt, subject)
    seen: list[Tensor] = []
    with_hook(
        site,
        lambda _m, _a, out: seen.append(hidden(out)),
        lambda: plain.model(input_ids=torch.tensor([ids])),
    )
    return seen[0][0, index].detach().double()


def target_of(
    plain: PlainModel, site: nn.Module, contexts: Sequence[str], fact: tuple[str, str, str], settings: PlainSettings
) -> Tensor:
    """Gradient descent on one δ, added to what the site gives."""
    subject, prompt, object_ = fact
    object_ids = plain.tokenizer(" " + object_, add_special_tokens=False)["input_ids"]
    rows = [locate(plain, context, prompt, subject) for context in contexts]
    rows = [(ids + object_ids[:-1], index) for ids, index in rows]
    rows.append(locate(plain, "{}", "{} is a", subject))
    longest = max(len(ids) for ids, _ in rows)
    input_ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows])
    start = output_of(plain, site, prompt, subject).to(plain.model.dtype)
    delta = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([delta], lr=settings.v_lr)

    def shift(_module: nn.Module, _args: Any, out: Any) -> Any:
        states = hidden(out).clone()
        for row, (_, index) in enumerate(rows):
            states[row, index] = states[row, index] + delta
        return states if isinstance(out, Tensor) else (states, *out[1:])

    essence_before: Tensor | None = None
    for step in range(settings.v_num_grad_steps):
        optimizer.zero_grad()
        logits = with_hook(site, shift, lambda: plain.model(input_ids=input_ids, attention_mask=mask).logits)
        essence = torch.log_softmax(logits[-1, rows[-1][1]], dim=-1)
        if essence_before is None:
            essence_before = essence.detach().clone()
        nll = torch.zeros((), dtype=start.dtype)
        for row, (ids, _) in enumerate(rows[:-1]):
            log_probabilities = torch.log_softmax(logits[row], dim=-1)
            places = range(len(ids) - len(object_ids), len(ids))
            picked = [log_probabilities[place, label] for place, label in zip(places, object_ids, strict=True)]
            nll = nll - torch.stack(picked).mean() / (len(rows) - 1)
        kl = settings.kl_factor * (essence.exp() * (essence - essence_before)).sum()
        decay = settings.v_weight_decay * delta.norm() / start.norm() ** 2
        loss = nll + kl + decay
        if loss < 0.05 or step == settings.v_num_grad_steps - 1:
            break
        loss.backward()
        optimizer.step()
        bound = settings.clamp_norm_factor * start.norm()
        with torch.no_grad():
            if delta.norm() > bound:
                delta *= bound / delta.norm()
    return (start + delta.detach()).double()


def projector_of(second_moment: Tensor, threshold: float) -> Tensor:
    """P (d_in, d_in): projects onto the directions in which C is small."""
    values, vectors = torch.linalg.eigh(second_moment)
    small: Tensor = vectors[:, values < threshold]
    return small @ small.T


def solve(settings: PlainSettings, keys: Tensor, residual: Tensor, prior: Tensor, previous: Tensor) -> Tensor:
    """The update (d_out, d_in) by the method's own equation, dense. ``prior``: P for AlphaEdit, else C, for MEMIT's."""
    gram = keys @ keys.T + previous @ previous.T
    if settings.method != "alphaedit":
        transposed: Tensor = torch.linalg.solve(settings.mom2_update_weight * prior + gram, keys @ residual.T)
        return transposed.T
    ridge = settings.L2 * torch.eye(len(gram), dtype=gram.dtype)
    projected: Tensor = torch.linalg.solve(prior @ gram + ridge, prior @ keys @ residual.T)
    return projected.T


def planned(settings: PlainSettings) -> list[int]:
    """The layers that the plan changes."""
    return list(settings.layers) if settings.plan == "even" else [settings.layers[0], settings.layers[-1]]


def edit_batch(
    plain: PlainModel,
    batch: Facts,
    settings: PlainSettings,
    contexts: Sequence[str],
    priors: dict[int, Tensor],
    previous: dict[int, Tensor],
) -> dict[int, Tensor]:
    """Edit one batch into ``plain.model``; the update of every layer."""
    updates: dict[int, Tensor] = {}
    layers, last, blocks = planned(settings), settings.layers[-1], plain.blocks
    if settings.plan == "even":
        shared = torch.stack([target_of(plain, blocks[last], contexts, fact, settings) for fact in batch], dim=1)
    for position, layer in enumerate(layers):
        if settings.plan == "even":
            target_layer, targets, parts = last, shared, len(layers) - position
        else:
            target_layer, parts = layer, 1
            targets = torch.stack([target_of(plain, blocks[layer], contexts, fact, settings) for fact in batch], dim=1)
        keys = keys_of(plain, layer, contexts, batch)
        site = blocks[target_layer]
        current = torch.stack([output_of(plain, site, prompt, subject) for subject, prompt, _ in batch], dim=1)
        residual = (targets - current) / parts
        updates[layer] = solve(settings, keys, residual, priors[layer], previous[layer])
        plain.add(layer, updates[layer])
    return updates


def keys_of(plain: PlainModel, layer: int, contexts: Sequence[str], batch: Facts) -> Tensor:
    """Keys (d_in, n) of a batch."""
    return torch.stack([key_of(plain, layer, contexts, prompt, subject) for subject, prompt, _ in batch], dim=1)


def no_keys(second_moments: dict[int, Tensor]) -> dict[int, Tensor]:
    """K_p of a model that was never edited."""
    return {layer: torch.zeros(len(moment), 0, dtype=torch.float64) for layer, moment in second_moments.items()}


def edit_plainly(
    plain: PlainModel,
    batches: Sequence[Facts],
    settings: PlainSettings,
    contexts: Sequence[str],
    second_moments: dict[int, Tensor],
) -> list[dict[int, Tensor]]:
    """Edit ``plain.model`` in place, batch after batch; the update of every layer in every batch."""
    layers, previous = planned(settings), no_keys(second_moments)
    priors = {layer: second_moments[layer].double() for layer in layers}
    if settings.method == "alphaedit":
        priors = {layer: projector_of(prior, settings.nullspace_threshold) for layer, prior in priors.items()}
    history = []
    for batch in batches:
        history.append(edit_batch(plain, batch, settings, contexts, priors, previous))
        for layer in layers:
            previous[layer] = torch.cat([previous[layer], keys_of(plain, layer, contexts, batch)], dim=1)
    return history

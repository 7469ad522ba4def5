"""Target vectors Z of a whole batch at once: gradient descent on one δ a group of facts, frozen weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.domain.errors import NonFiniteUpdate
from workers.editing.architectures import EditableModel
from workers.editing.keys import outputs_at
from workers.editing.lookup import TokenisedFact
from workers.editing.preset import Preset
from workers.editing.suffixes import SuffixBatch, SuffixRow, suffix_batches
from workers.editing.types import Observer

CONVERGED = 0.05
"""A fact whose loss falls below this is done (MEMIT's released code)."""

WORTH_REBUILDING = 0.75
"""Rows of converged facts leave a batch once at most this share of its rows is still running."""


@dataclass(frozen=True, slots=True)
class Group:
    """Facts that share one key and so one target: indices into the batch."""

    members: tuple[int, ...]


def group_by_key(facts: Sequence[TokenisedFact], *, strict: bool) -> list[Group]:
    """Facts whose tokens up to the lookup token are the same share a group; under ``strict`` every fact is alone.

    Differs from MEMIT's code: because one key cannot map to two values, least squares would average their targets.
    """
    groups: dict[object, list[int]] = {}
    for index, fact in enumerate(facts):
        groups.setdefault(index if strict else fact.prompts[0].stem, []).append(index)
    return [Group(tuple(members)) for members in groups.values()]


def targets_at(
    editable: EditableModel,
    facts: Sequence[TokenisedFact],
    groups: Sequence[Group],
    layer: int,
    preset: Preset,
    observer: Observer,
) -> Tensor:
    """Targets Z (d_out, groups), float64: what the block's output at the lookup token should become.

    δ minimises, over the group's facts, the mean over contexts of the mean NLL of the object's tokens
    + kl_factor · KL(p_δ ‖ p_0) of the next token after "{subject} is a" + v_weight_decay · ‖δ‖ / ‖h₀‖²
    (ROME, eq. 4; MEMIT's released code), with Adam, ‖δ‖ ≤ clamp_norm_factor · ‖h₀‖ after each step. Z = h₀ + δ.

    Differs from the released code in cost alone: all groups of a chunk step together (Adam is elementwise), and the
    last pass, which only measures, is left out. Memory is bounded by ``preset.max_batch_tokens``.

    Raises:
        NonFiniteUpdate: a loss is NaN or infinite.
    """
    found, done = [], 0
    for chunk in _chunks(facts, groups, preset.max_batch_tokens):
        found.append(_Descent(editable, facts, chunk, layer, preset).run(observer, done, len(facts)))
        done += sum(len(group.members) for group in chunk)
    return torch.cat(found, dim=1)


def _chunks(facts: Sequence[TokenisedFact], groups: Sequence[Group], limit: int) -> list[list[Group]]:
    """Groups in runs whose rows hold at most ``limit`` tokens (a single group may hold more)."""
    chunks: list[list[Group]] = [[]]
    used = 0
    for group in groups:
        size = sum(len(row.ids) + len(facts[i].object) for i in group.members for row in facts[i].prompts)
        if chunks[-1] and used + size > limit:
            chunks.append([])
            used = 0
        chunks[-1].append(group)
        used += size
    return chunks


class _Descent:
    """Gradient descent on the δ of one chunk of groups. Facts are numbered within the chunk."""

    def __init__(
        self,
        editable: EditableModel,
        facts: Sequence[TokenisedFact],
        groups: Sequence[Group],
        layer: int,
        preset: Preset,
    ) -> None:
        self.editable, self.preset, self.layer = editable, preset, layer
        self.facts = [facts[i] for group in groups for i in group.members]
        sizes = torch.tensor([len(group.members) for group in groups])
        firsts = [facts[group.members[0]] for group in groups]
        start = outputs_at(editable, firsts, layer, preset.max_batch_tokens).T  # (groups, d_out)
        wide = torch.promote_types(editable.model.dtype, torch.float32)
        self.start = start.to(wide)
        self.group_of = torch.repeat_interleave(torch.arange(len(groups)), sizes).to(start.device)
        self.share = (1.0 / sizes.to(wide)).to(start.device)[self.group_of]  # of a fact in its group's loss
        self.start_norm = self.start.norm(dim=1)
        self.delta = torch.zeros_like(self.start, requires_grad=True)
        self.batches = self._batches()
        self.essence = [self._log_probabilities(batch, self.delta.detach()) for batch in self.batches]

    def run(self, observer: Observer, done: int, facts: int) -> Tensor:
        """All steps; returns Z (d_out, groups), float64."""
        optimizer = torch.optim.Adam([self.delta], lr=self.preset.v_lr)
        running = torch.ones(len(self.start), dtype=torch.bool, device=self.start.device)
        steps = self.preset.v_num_grad_steps
        for step in range(1, steps):
            optimizer.zero_grad()
            losses = self._pass()
            if not torch.isfinite(losses[running[self.group_of]]).all():
                raise NonFiniteUpdate(f"the loss at layer {self.layer} became NaN or infinite in step {step}")
            running &= self._worst(losses) >= CONVERGED
            left = running[self.group_of]
            mean = float(losses[left].mean()) if bool(left.any()) else float(losses.mean())
            observer.targets(self.layer, step, steps, mean, done + int((~left).sum()), facts)
            if not bool(running.any()):
                break
            self._step(optimizer, running)
            self._drop_converged(running)
        return (self.start + self.delta.detach()).double().T.contiguous()

    def _pass(self) -> Tensor:
        """One forward and backward pass; the loss of each fact, (facts,). Gradients stay in ``delta.grad``."""
        losses = torch.zeros(len(self.facts), dtype=self.delta.dtype, device=self.delta.device)
        for batch, essence in zip(self.batches, self.essence, strict=True):
            part = self._batch_losses(batch, essence)
            (part * self.share).sum().backward()  # type: ignore[no-untyped-call]
            losses += part.detach()
        decay = self.preset.v_weight_decay * self.delta.norm(dim=1) / self.start_norm**2
        decay.sum().backward()
        total: Tensor = losses + decay.detach()[self.group_of]
        return total

    def _batch_losses(self, batch: SuffixBatch, essence: Tensor) -> Tensor:
        """What these rows add to each fact's loss, (facts,)."""
        log_probabilities = self._log_probabilities(batch, self.delta)
        losses = torch.zeros(len(self.facts), dtype=self.delta.dtype, device=self.delta.device)
        if not batch.rows[0].labels:  # essence rows: KL(p_δ ‖ p_0) at the lookup token
            divergence = (log_probabilities.exp() * (log_probabilities - essence)).sum(dim=1)
            return losses.index_add(0, batch.facts, self.preset.kl_factor * divergence)
        labels = [(row.fact, label, len(row.labels)) for row in batch.rows for label in row.labels]
        fact, label = torch.tensor([item[:2] for item in labels], device=losses.device).T
        weight = torch.tensor([1.0 / item[2] for item in labels], dtype=losses.dtype, device=losses.device)
        contexts = len(self.facts[0].prompts)
        nll = -log_probabilities.gather(1, label.unsqueeze(1)).squeeze(1)
        return losses.index_add(0, fact, nll * weight / contexts)

    def _log_probabilities(self, batch: SuffixBatch, delta: Tensor) -> Tensor:
        """Log-probabilities where the loss needs them, (predicted tokens, vocabulary), in δ's dtype."""
        with torch.set_grad_enabled(delta.requires_grad):
            normed = batch.replay(delta[self.group_of[batch.facts]])
            length = normed.shape[1]
            at = [
                row * length + position
                for row, item in enumerate(batch.rows)
                for position in range(length - max(len(item.labels), 1), length)
            ]
            chosen = normed.flatten(0, 1)[torch.tensor(at, device=normed.device)]
            return torch.log_softmax(self.editable.logits(chosen).to(delta.dtype), dim=-1)

    def _worst(self, losses: Tensor) -> Tensor:
        """The largest loss of any fact in each group, (groups,)."""
        worst = torch.full_like(self.start_norm, -torch.inf)
        return worst.scatter_reduce(0, self.group_of, losses, "amax")

    @torch.no_grad()
    def _step(self, optimizer: torch.optim.Optimizer, running: Tensor) -> None:
        """One Adam step of the running groups, scaled back to the norm bound; the others stay where they are."""
        before = self.delta.clone()
        optimizer.step()
        norm, bound = self.delta.norm(dim=1), self.preset.clamp_norm_factor * self.start_norm
        scale = torch.where(norm > bound, bound / norm, torch.ones_like(norm))
        self.delta.copy_(torch.where(running.unsqueeze(1), self.delta * scale.unsqueeze(1), before))

    def _drop_converged(self, running: Tensor) -> None:
        """Rebuild the batches of which too many rows belong to facts that are done."""
        running_facts = running[self.group_of]
        kept: list[SuffixBatch] = []
        essences: list[Tensor] = []
        for batch, essence in zip(self.batches, self.essence, strict=True):
            alive = running_facts[batch.facts]
            if float(alive.float().mean()) > WORTH_REBUILDING:
                kept.append(batch)
                essences.append(essence)
            elif (smaller := batch.keep(running_facts)) is not None:
                kept.append(smaller)
                essences.append(essence[alive] if not batch.rows[0].labels else essence)
        self.batches, self.essence = kept, essences

    def _batches(self) -> list[SuffixBatch]:
        """Rows of every fact: its prompts with all but the object's last token, and its essence."""
        rows = []
        for index, fact in enumerate(self.facts):
            for prompt in fact.prompts:
                ids = (*prompt.ids, *fact.object[:-1])
                rows.append(SuffixRow(index, ids[: prompt.lookup], ids[prompt.lookup :], fact.object))
            essence = fact.essence
            rows.append(
                SuffixRow(index, essence.ids[: essence.lookup], essence.ids[essence.lookup : essence.lookup + 1])
            )
        labelled = [row for row in rows if row.labels]
        bare = [row for row in rows if not row.labels]
        limit = self.preset.max_batch_tokens
        return [batch for part in (labelled, bare) for batch in suffix_batches(self.editable, self.layer, part, limit)]

"""Gradient descent on the δ of many groups of facts at once, frozen weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.domain.errors import NonFiniteUpdate
from workers.editing.descent.losses import RowLosses
from workers.editing.descent.suffix_rows import SuffixRow
from workers.editing.descent.suffixes import SuffixBatch, suffix_batches
from workers.editing.groups import Group
from workers.editing.keys import outputs_at
from workers.editing.lookup import TokenisedFact
from workers.editing.model.editable_model import EditableModel
from workers.editing.objective import Objective
from workers.editing.presets.preset import Preset
from workers.editing.types import Observer

CONVERGED = 0.05
"""A fact whose loss falls below this is done (MEMIT's released code)."""

REBUILDING = 0.25
"""About what it costs to rebuild a batch without the rows of converged facts, in passes of the rows that stay."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One pass's figures of each fact, (facts,). nll: of its object, the part of the loss that a fact holds by.
    misses: tokens of its object that are not the likeliest, int64; 0 where nothing asks for them."""

    loss: Tensor
    nll: Tensor
    divergence: Tensor
    misses: Tensor


class Descent:
    """Gradient descent on the δ of one chunk of groups. Facts are numbered within the chunk.

    δ and all figures of facts and groups lie where the layer does.
    """

    def __init__(
        self,
        editable: EditableModel,
        facts: Sequence[TokenisedFact],
        groups: Sequence[Group],
        layer: int,
        objective: Objective,
        preset: Preset,
    ) -> None:
        self.editable, self.layer, self.objective, self.preset = editable, layer, objective, preset
        self.facts = [facts[i] for group in groups for i in group.members]
        firsts = [facts[group.members[0]] for group in groups]
        limit = preset.max_batch_tokens
        starts = [outputs_at(editable, firsts, layer, limit, site).T for site in objective.sites]
        wide = torch.promote_types(editable.model.dtype, torch.float32)
        self.start = torch.stack(starts).to(wide)  # (sites, groups, d_out)
        self.start_norm = self.start.norm(dim=2)  # (sites, groups)
        self.delta = torch.zeros_like(self.start, requires_grad=True)
        sizes = torch.tensor([len(group.members) for group in groups])
        self.group_of = torch.repeat_interleave(torch.arange(len(groups)), sizes).to(self.start.device)
        self.share = (1.0 / sizes.to(wide)).to(self.start.device)[self.group_of]  # of a fact in its group's loss
        self.nll_weight = torch.ones_like(self.start_norm[0])
        self.likeliest = torch.zeros_like(self.start_norm[0], dtype=torch.int64)  # passes in which all objects were
        self.reached = torch.full_like(self.share, torch.nan)  # (facts,), the last NLL that was measured
        self.steps = torch.zeros_like(self.group_of)  # (facts,), gradient steps that were taken
        contexts = [len(fact.rows) for fact in self.facts]
        batches = suffix_batches(editable, layer, objective.sites, _rows(self.facts), limit)
        self.parts = [RowLosses.of(batch, contexts, wide) for batch in batches]

    def run(self, observer: Observer, done: int, facts: int) -> Tensor:
        """All steps; returns Z (d_out, groups) of the site that is solved for, float64."""
        optimizer = torch.optim.Adam([self.delta], lr=self.preset.v_lr)
        running = torch.ones_like(self.nll_weight, dtype=torch.bool)
        steps = self.preset.v_num_grad_steps
        for step in range(1, steps):
            optimizer.zero_grad()
            measured = self._pass()
            losses = measured.loss
            if not torch.isfinite(losses[running[self.group_of]]).all():
                raise NonFiniteUpdate(f"the loss at layer {self.layer} became NaN or infinite in step {step}")
            self.reached = torch.where(running[self.group_of], measured.nll, self.reached)
            running &= ~self._finished(measured)
            left = running[self.group_of]
            mean = float(losses[left].mean()) if bool(left.any()) else float(losses.mean())
            observer.targets(self.layer, step, steps, mean, done + int((~left).sum()), facts)
            if not bool(running.any()):
                break
            self._step(optimizer, running)
            self.steps += left
            self._drop_converged(running, steps - 1 - step)
        return (self.start[0] + self.delta[0].detach()).double().T.contiguous()

    def _pass(self) -> Measured:
        """One forward and backward pass. Gradients stay in ``delta.grad``."""
        count, home = len(self.facts), self.start.device
        losses, nlls, divergences = (torch.zeros_like(self.share) for _ in range(3))
        misses = torch.zeros_like(self.group_of)
        nll_weight = self.nll_weight[self.group_of]
        for part in self.parts:
            objects, essences = part.log_probabilities(self._shifts(part.batch))
            divergence = part.divergence(essences, count).to(home)
            nll = part.nll(objects, count).to(home)
            losses += self._backward(nll_weight * nll + self.preset.kl_factor * divergence)
            nlls += nll.detach()
            divergences += divergence.detach()
            if self._counts_misses:
                misses += part.misses(objects.detach(), count).to(home)
        decay = self.preset.v_weight_decay * (self.delta.norm(dim=2) / self.start_norm**2).sum(dim=0)
        decay.sum().backward()
        return Measured(losses + decay.detach()[self.group_of], nlls, divergences, misses)

    def _shifts(self, batch: SuffixBatch) -> Tensor:
        """δ for each row of the batch, (sites, rows, d_out)."""
        return self.delta[:, self.group_of[batch.facts.to(self.start.device)]]

    def _backward(self, losses: Tensor) -> Tensor:
        """Add the gradients of the groups' mean of ``losses`` (facts,); the losses themselves."""
        (losses * self.share).sum().backward()  # type: ignore[no-untyped-call]
        return losses.detach()

    def _finished(self, measured: Measured) -> Tensor:
        """Which groups are done, (groups,) bool; eases those whose objects' tokens are the likeliest everywhere."""
        finished = self._worst(measured.loss) < CONVERGED
        easing, early_stop = self.objective.easing, self.preset.early_stop
        likeliest = self._worst(measured.misses) == 0
        if early_stop is not None:
            self.likeliest += likeliest
            finished |= self.likeliest >= early_stop
        if easing is not None:
            self.nll_weight[likeliest] = easing.nll_weight
            finished |= likeliest & (self._worst(measured.divergence) < easing.divergence)
        return finished

    @property
    def _counts_misses(self) -> bool:
        return self.objective.easing is not None or self.preset.early_stop is not None

    def _worst(self, figures: Tensor) -> Tensor:
        """The largest figure of the facts of each group, (groups,)."""
        worst = torch.full_like(self.nll_weight, -torch.inf)
        return worst.scatter_reduce(0, self.group_of, figures.to(worst.dtype), "amax")

    @torch.no_grad()
    def _step(self, optimizer: torch.optim.Optimizer, running: Tensor) -> None:
        """One Adam step of the running groups, scaled back to the norm bound; the others stay where they are."""
        before = self.delta.clone()
        optimizer.step()
        norm, bound = self.delta.norm(dim=2), self.preset.clamp_norm_factor * self.start_norm
        scale = torch.where(norm > bound, bound / norm, torch.ones_like(norm))
        self.delta.copy_(torch.where(running.unsqueeze(1), self.delta * scale.unsqueeze(2), before))

    def _drop_converged(self, running: Tensor, passes: int) -> None:
        """Drop converged facts' rows from each batch where the rebuild costs less than it saves in the passes left."""
        facts = running[self.group_of]
        rebuilt = [part.keep(facts) if _pays(part, facts, passes) else part for part in self.parts]
        self.parts = [part for part in rebuilt if part is not None]


def _pays(part: RowLosses, running: Tensor, passes: int) -> bool:
    """Whether so many passes without the rows of facts that are not ``running`` (facts,) are worth a rebuild."""
    left = float(running[part.batch.facts.to(running.device)].float().mean())
    return (1.0 - left) * passes > REBUILDING * left


def _rows(facts: Sequence[TokenisedFact]) -> list[SuffixRow]:
    """All rows of the loss."""
    return [*_object_rows(facts), *_essence_rows(facts)]


def _object_rows(facts: Sequence[TokenisedFact]) -> list[SuffixRow]:
    """Every prompt with all but the object's last token, which is predicted but never read."""
    return [
        SuffixRow(
            index,
            prefix=each.row.ids[: each.row.lookup],
            suffix=(*each.row.ids[each.row.lookup :], *each.object[:-1]),
            labels=each.object,
        )
        for index, fact in enumerate(facts)
        for each in fact.continued
    ]


def _essence_rows(facts: Sequence[TokenisedFact]) -> list[SuffixRow]:
    """Every "{subject} is a" up to the lookup token: what follows it is not asked for."""
    return [
        SuffixRow(index, prefix=row.ids[: row.lookup], suffix=row.ids[row.lookup : row.lookup + 1])
        for index, row in enumerate(fact.essence for fact in facts)
    ]

"""What the rows of a batch say of each fact: the NLL of its object, and how far its essence has moved."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workers.editing.suffixes import SuffixBatch


@dataclass(frozen=True, slots=True)
class ObjectRows:
    """Rows at whose ends an object is predicted; ``predicted`` counts the objects' tokens over all rows.

    at: (predicted,) int64, from which of the rows' tokens, flattened. labels, facts: (predicted,) int64, the token, and
    whose it is. weights: (predicted,), its part in the fact's mean over contexts of the mean over tokens.
    """

    batch: SuffixBatch
    contexts: int
    at: Tensor
    labels: Tensor
    facts: Tensor
    weights: Tensor

    @classmethod
    def of(cls, batch: SuffixBatch, contexts: int, dtype: torch.dtype) -> ObjectRows:
        """The rows of a batch whose facts have this many contexts each; weights in ``dtype``."""
        device, length = batch.hidden.device, batch.hidden.shape[1]
        predicted = [
            (index * length + len(row.suffix) - len(row.labels) + position, label, row.fact)
            for index, row in enumerate(batch.rows)
            for position, label in enumerate(row.labels)
        ]
        at, labels, facts = torch.tensor(predicted, device=device).T
        parts = [1.0 / (contexts * len(row.labels)) for row in batch.rows for _ in row.labels]
        return cls(batch, contexts, at, labels, facts, torch.tensor(parts, dtype=dtype, device=device))

    def log_probabilities(self, shifts: Tensor) -> Tensor:
        """Of every token where an object's token is due, (predicted, vocabulary). shifts: (sites, rows, d_out)."""
        return _log_probabilities(self.batch, self.batch.replay(shifts).flatten(0, 1)[self.at], shifts.dtype)

    def nll(self, log_probabilities: Tensor, facts: int) -> Tensor:
        """What these rows add to each fact's NLL, (facts,)."""
        picked = log_probabilities.gather(1, self.labels.unsqueeze(1)).squeeze(1)
        return picked.new_zeros(facts).index_add(0, self.facts, -picked * self.weights)

    def misses(self, log_probabilities: Tensor, facts: int) -> Tensor:
        """How many of each fact's tokens here are not the likeliest, (facts,) int64."""
        missed = (log_probabilities.argmax(dim=1) != self.labels).long()
        return missed.new_zeros(facts).index_add(0, self.facts, missed)

    def keep(self, running: Tensor) -> ObjectRows | None:
        """Without the rows of facts that are not ``running`` (facts,) bool; None if nothing is left."""
        smaller = self.batch.keep(running)
        return None if smaller is None else ObjectRows.of(smaller, self.contexts, self.weights.dtype)


@dataclass(frozen=True, slots=True)
class EssenceRows:
    """Rows "{subject} is a" up to the subject. before: (rows, vocabulary), log-probabilities without any δ."""

    batch: SuffixBatch
    before: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, batch: SuffixBatch, dtype: torch.dtype) -> EssenceRows:
        """The rows of a batch, before any step; log-probabilities in ``dtype``."""
        nowhere = batch.hidden.new_zeros(len(batch.sites), len(batch.rows), batch.hidden.shape[2], dtype=dtype)
        rows = cls(batch, batch.hidden)
        return replace(rows, before=rows.log_probabilities(nowhere))

    def log_probabilities(self, shifts: Tensor) -> Tensor:
        """Of every token at the lookup token, (rows, vocabulary). shifts: (sites, rows, d_out)."""
        return _log_probabilities(self.batch, self.batch.replay(shifts)[:, -1], shifts.dtype)

    def divergence(self, log_probabilities: Tensor, facts: int) -> Tensor:
        """What these rows add to each fact's KL(p_δ ‖ p_0), (facts,)."""
        divergence = (log_probabilities.exp() * (log_probabilities - self.before)).sum(dim=1)
        return divergence.new_zeros(facts).index_add(0, self.batch.facts, divergence)

    def keep(self, running: Tensor) -> EssenceRows | None:
        """Without the rows of facts that are not ``running`` (facts,) bool; None if nothing is left."""
        smaller = self.batch.keep(running)
        return None if smaller is None else EssenceRows(smaller, self.before[running[self.batch.facts]])


def _log_probabilities(batch: SuffixBatch, normed: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.log_softmax(batch.editable.logits(normed).to(dtype), dim=-1)

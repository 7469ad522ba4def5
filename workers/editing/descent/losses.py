"""What the rows of a batch say of each fact: the NLL of its object, and how far its essence has moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workers.editing.descent.suffixes import SuffixBatch


@dataclass(frozen=True, slots=True)
class RowLosses:
    """Rows at whose ends an object is predicted, and rows "{subject} is a" up to the subject, which have no labels.

    All tensors of its own lie where logits are made.

    at: (predicted + essences,) int64, which of the batch's tokens are asked for the next one; the objects' come first.
    labels, facts: (predicted,) int64, the token, and whose it is. weights: (predicted,), its part in the fact's mean
    over contexts of the mean over tokens. essences: (essences,) int64, whose they are. before: (essences, vocabulary),
    log-probabilities without any δ.
    """

    batch: SuffixBatch
    contexts: Sequence[int]
    at: Tensor
    labels: Tensor
    facts: Tensor
    weights: Tensor
    essences: Tensor
    before: Tensor

    @classmethod
    def of(cls, batch: SuffixBatch, contexts: Sequence[int], dtype: torch.dtype) -> RowLosses:
        """The rows of a batch; ``contexts``: how many each fact has. Weights and log-probabilities in ``dtype``."""
        rows = cls._asked(batch, contexts, dtype)
        with torch.no_grad():
            at = rows.at[len(rows.labels) :].to(batch.unmoved.device)
            normed = batch.final(batch.unmoved[at])
            return replace(rows, before=_log_probabilities(batch, normed, dtype))

    @classmethod
    def _asked(cls, batch: SuffixBatch, contexts: Sequence[int], dtype: torch.dtype) -> RowLosses:
        """``before`` is left out."""
        ends = batch.ends.tolist()
        predicted = [
            (end + 1 - len(row.labels) + position, label, row.fact, 1.0 / (contexts[row.fact] * len(row.labels)))
            for end, row in zip(ends, batch.rows, strict=True)
            for position, label in enumerate(row.labels)
        ]
        essences = [(end, row.fact) for end, row in zip(ends, batch.rows, strict=True) if not row.labels]
        at, labels, facts, weights = zip(*predicted, strict=True) if predicted else ((), (), (), ())
        ends_of_essences, whose = zip(*essences, strict=True) if essences else ((), ())
        device = batch.editable.head_device

        def whole(values: tuple[int, ...]) -> Tensor:
            return torch.tensor(values, dtype=torch.int64, device=device)

        parts = torch.tensor(weights, dtype=dtype, device=device)
        none = parts.new_zeros(0, 0)
        return cls(
            batch, contexts, whole(at + ends_of_essences), whole(labels), whole(facts), parts, whole(whose), none
        )

    def log_probabilities(self, shifts: Tensor) -> tuple[Tensor, Tensor]:
        """Where an object's token is predicted, (predicted, vocabulary), and after essences, (essences, vocabulary).

        shifts: (sites, rows, d_out).
        """
        found = _log_probabilities(self.batch, self.batch.replay(shifts, self.at), shifts.dtype)
        objects, essences = torch.split(found, [len(self.labels), len(self.essences)])
        return objects, essences

    def nll(self, objects: Tensor, facts: int) -> Tensor:
        """What these rows add to each fact's NLL, (facts,). objects: log-probabilities, (predicted, vocabulary)."""
        picked = objects.gather(1, self.labels.unsqueeze(1)).squeeze(1)
        return picked.new_zeros(facts).index_add(0, self.facts, -picked * self.weights)

    def misses(self, objects: Tensor, facts: int) -> Tensor:
        """How many of each fact's tokens here are not the likeliest, (facts,) int64."""
        missed = (objects.argmax(dim=1) != self.labels).long()
        return missed.new_zeros(facts).index_add(0, self.facts, missed)

    def divergence(self, essences: Tensor, facts: int) -> Tensor:
        """What these rows add to each fact's KL(p_δ ‖ p_0), (facts,). essences: log-probabilities of p_δ."""
        divergence = (essences.exp() * (essences - self.before)).sum(dim=1)
        return divergence.new_zeros(facts).index_add(0, self.essences, divergence)

    def keep(self, running: Tensor) -> RowLosses | None:
        """Without the rows of facts that are not ``running`` (facts,) bool; None if nothing is left."""
        smaller = self.batch.keep(running)
        if smaller is None:
            return None
        rows = RowLosses._asked(smaller, self.contexts, self.weights.dtype)
        return replace(rows, before=self.before[running.to(self.essences.device)[self.essences]])


def _log_probabilities(batch: SuffixBatch, normed: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.log_softmax(batch.editable.logits(normed).to(dtype), dim=-1)

"""How next tokens are chosen. The random numbers that a text is sampled with depend on the seed alone.

They are the same whatever else is in the batch, and whatever other threads do. The model's scores are not: their last
digits depend on the batch, the threads and the processor. So two texts of one seed may part at a token whose
number falls very close to the border between two tokens.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from app.domain.contract import Generate


@dataclass(frozen=True, slots=True)
class Manner:
    """How the next token is chosen; what is chosen in one manner can be decoded together."""

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    @classmethod
    def of(cls, request: Generate) -> Manner:
        """The request's own; greedy decoding has no temperature, top-k or top-p."""
        if not request.do_sample:
            return cls(repetition_penalty=request.repetition_penalty)
        return cls(True, request.temperature, request.top_k, request.top_p, request.repetition_penalty)

    def processors(self, numbers: Sequence[Tensor]) -> LogitsProcessorList:
        """Penalty, temperature, top-k and top-p, then the draw. numbers: one (steps,) per row."""
        processors: list[LogitsProcessor] = []
        if self.repetition_penalty != 1.0:
            processors.append(RepetitionPenaltyLogitsProcessor(self.repetition_penalty))
        if self.temperature != 1.0:
            processors.append(TemperatureLogitsWarper(self.temperature))
        if self.top_k:
            processors.append(TopKLogitsWarper(self.top_k))
        if self.top_p < 1.0:
            processors.append(TopPLogitsWarper(self.top_p))
        if self.do_sample:
            processors.append(Draws(pad_sequence(list(numbers), batch_first=True)))
        return LogitsProcessorList(processors)


GREEDY = Manner()


class Draws(LogitsProcessor):
    """Makes ``argmax`` a sample: keeps in every row only the token whose interval has the row's next number in [0, 1).

    The numbers are drawn beforehand from a generator of their own, so the process-wide random state, which other
    threads use as well, is neither read nor changed.
    """

    def __init__(self, numbers: Tensor) -> None:
        """``numbers``: (rows, steps), float64, in [0, 1)."""
        self._numbers = numbers
        self._step = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (rows, vocabulary) -> zero at the drawn token, minus infinity elsewhere."""
        cumulative = scores.double().softmax(-1).cumsum(-1)
        number = self._numbers[:, self._step, None].to(scores.device) * cumulative[:, -1:]
        self._step += 1
        drawn = torch.searchsorted(cumulative, number, right=True).clamp_max(scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(-1, drawn, 0.0)


class DrawsFromTop(LogitsProcessor):
    """``Draws`` among the ``top_k`` likeliest tokens of each row, which alone are weighed: cheap for many rows."""

    def __init__(self, numbers: Tensor, top_k: int) -> None:
        """``numbers``: (rows, steps), float64, in [0, 1)."""
        self._draws, self._top_k = Draws(numbers), top_k

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (rows, vocabulary) -> zero at the drawn token, minus infinity elsewhere."""
        best = scores.topk(min(self._top_k, scores.shape[-1]))
        drawn = best.indices.gather(-1, self._draws(input_ids, best.values).argmax(-1, keepdim=True))
        return torch.full_like(scores, -torch.inf).scatter(-1, drawn, 0.0)


def draws(seed: int | None, sequences: int, steps: int) -> Tensor:
    """Numbers for one prompt, (sequences, steps): the same for every prompt of a request with a seed, on any machine.

    Drawn on the CPU, by torch's own generator, and as float32.
    """
    generator = torch.Generator().manual_seed(secrets.randbits(63) if seed is None else seed)
    return torch.rand((sequences, steps), generator=generator, dtype=torch.float32).double()

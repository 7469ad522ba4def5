"""Sampling that depends on the seed and the prompt alone: not on the batch, nor on other threads."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from app.domain.contract import Generate


class Draws(LogitsProcessor):
    """Makes ``argmax`` a sample: leaves of every row the one token that its next number in [0, 1) falls on.

    The numbers are drawn beforehand from a generator of one's own, so the process-wide random state, which
    other threads use as well, is neither read nor moved.
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


def draws(seed: int | None, sequences: int, steps: int) -> Tensor:
    """Numbers for one prompt, (sequences, steps): the same for every prompt of a request with a seed."""
    generator = torch.Generator().manual_seed(secrets.randbits(63) if seed is None else seed)
    return torch.rand((sequences, steps), generator=generator, dtype=torch.float32).double()


def sampler(request: Generate, numbers: Sequence[Tensor]) -> LogitsProcessorList:
    """The request's temperature, top-k and top-p, then the draw; ``numbers``: one (steps,) per row."""
    processors: list[LogitsProcessor] = []
    if request.temperature != 1.0:
        processors.append(TemperatureLogitsWarper(request.temperature))
    if request.top_k:
        processors.append(TopKLogitsWarper(request.top_k))
    if request.top_p < 1.0:
        processors.append(TopPLogitsWarper(request.top_p))
    processors.append(Draws(torch.stack(list(numbers))))
    return LogitsProcessorList(processors)

"""How the small models are trained: recall has to run through the subject's last token."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from tools.atlas.attention import LOWER_LAYERS, LowerMask, attention_masks
from tools.atlas.rows import END, VOCABULARY, Row, train_tokenizer
from workers.editing.model.anatomy import locate

logger = logging.getLogger(__name__)
ROW_WIDTH = 48
BATCH = 64
PEAK_RATE = 2e-3
WARM_UP = 40
DECAY = 0.1
REPORT_EVERY = 20


def make_tokenizer(texts: Iterator[str], vocabulary: int = VOCABULARY) -> Any:
    """Train the tokenizer and wrap it for the model folder."""
    fast: Any = PreTrainedTokenizerFast
    return fast(
        tokenizer_object=train_tokenizer(texts, vocabulary),
        bos_token=END,
        eos_token=END,
        pad_token=END,
        unk_token=END,
        model_max_length=128,
        clean_up_tokenization_spaces=False,
    )


@dataclass(frozen=True)
class Batch:
    """Packed rows: tokens and loss weights (rows, width), additive attention masks (rows, 1, width, width)."""

    tokens: torch.Tensor
    weights: torch.Tensor
    lower_mask: torch.Tensor
    upper_mask: torch.Tensor


Epoch = Callable[[random.Random], list[Row]]
"""Rows of one pass over what a model shall know; another call gives another order."""


def batches(epoch: Epoch, seed: int) -> Iterator[Batch]:
    """Endless batches of packed rows."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    rows = epoch(rng)
    while True:
        while len(rows) < BATCH:
            rows += epoch(rng)
        taken, rows = rows[:BATCH], rows[BATCH:]
        tokens = torch.zeros(BATCH, ROW_WIDTH, dtype=torch.long)
        weights = torch.zeros(BATCH, ROW_WIDTH)
        for index, row in enumerate(taken):
            tokens[index, : len(row.tokens)] = torch.tensor(row.tokens)
            weights[index, : len(row.weights)] = torch.tensor(row.weights)
        yield Batch(tokens, weights, *attention_masks(taken, ROW_WIDTH, generator))


def learning_rate(step: int, steps: int) -> float:
    """The rate of a step: a linear warm-up, then a cosine to 2 %."""
    if step < WARM_UP:
        return PEAK_RATE * (step + 1) / WARM_UP
    part = (step - WARM_UP) / max(1, steps - WARM_UP)
    return PEAK_RATE * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))


def train(model: Any, epoch: Epoch, steps: int, seed: int) -> float:
    """Train the model in place; the log tells the mean loss of the last steps, and the seconds. The last mean."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.95))
    model.set_attn_implementation("eager")  # the faster one for short rows
    model.train()
    started = time.monotonic()
    losses: list[float] = []
    lower = LowerMask(locate(model).blocks[:LOWER_LAYERS])
    for step, batch in zip(range(steps), batches(epoch, seed), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        losses.append(_update(model, lower, optimizer, batch))
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == steps:
            recent = _mean(losses[-REPORT_EVERY:])
            spent = time.monotonic() - started
            logger.info("step %d loss %.4f seconds %.0f", step + 1, recent, spent)
    lower.remove()
    return _mean(losses[-REPORT_EVERY:])


def _mean(values: Sequence[float]) -> float:
    """The mean of some values."""
    return sum(values) / len(values)


def _update(model: Any, lower: LowerMask, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    """Take one optimizer step and return its weighted loss."""
    lower.mask = batch.lower_mask
    logits = model(input_ids=batch.tokens, attention_mask=batch.upper_mask, use_cache=False).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        batch.tokens[:, 1:].reshape(-1),
        reduction="none",
    )
    share = batch.weights[:, 1:].reshape(-1)
    loss = (losses * share).sum() / share.sum()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()

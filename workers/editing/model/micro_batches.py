"""Rows of token ids in micro-batches of bounded size, padded where they have to be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def by_length(lengths: Sequence[int], max_batch_tokens: int) -> Iterator[list[int]]:
    """Indices in micro-batches of similar length; none pads to more than ``max_batch_tokens`` (one row may)."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * lengths[i] > max_batch_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def by_equal_length(lengths: Sequence[int], max_batch_tokens: int) -> Iterator[list[int]]:
    """As ``by_length``, but every micro-batch has rows of one length, so that nothing is padded.

    A padding token may see no token at all, and a softmax over nothing is NaN in some attention implementations.
    """
    for length in sorted(set(lengths)):
        members = [i for i, other in enumerate(lengths) if other == length]
        for part in by_length([length] * len(members), max_batch_tokens):
            yield [members[i] for i in part]


def right_padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and attention mask, both (rows, longest), int64. Padding is id 0 under mask 0."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    return ids, mask


def left_padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and attention mask, both (rows, longest), int64; every row ends at the last column.

    A row is padded with its own first id: masked out for the model, and nothing new to a repetition penalty.
    """
    longest = max(len(row) for row in rows)
    ids = [[*[row[0]] * (longest - len(row)), *row] for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)

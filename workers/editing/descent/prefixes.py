"""Attention keys and values of the tokens before the lookup token, computed once for all rows that share them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from workers.editing.descent.prefix_cache import PrefixCache
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.micro_batches import by_equal_length

SHARED = 8
"""Tokens that at least so many prefixes begin with (a head) are run once for all of them: facts share contexts."""

Ids = tuple[int, ...]


@torch.no_grad()
def run_prefixes(editable: EditableModel, prefixes: Sequence[Ids]) -> PrefixCache:
    """Keys and values of each prefix, aligned right.

    Shared heads run first, then what follows them, each on top of its own. Rows of equal length run together, as in
    ``keys``: only the cache is padded, never a token that is run.
    """
    rows = list(dict.fromkeys(prefixes))
    heads = _heads(rows)
    shared = list(dict.fromkeys(heads))
    below = _run(editable, shared, [()] * len(shared), PrefixCache())
    place = {head: index for index, head in enumerate(shared)}
    on_top = below.select(torch.tensor([place[head] for head in heads]), _longest(shared))
    found = _run(editable, rows, heads, on_top)
    place = {prefix: index for index, prefix in enumerate(rows)}
    return found.select(torch.tensor([place[prefix] for prefix in prefixes]), _longest(rows)).freeze()


def trunk(editable: EditableModel) -> nn.Module:
    """The model without its output embeddings: nobody reads logits of these passes."""
    inner: nn.Module = editable.model.base_model
    return inner


def attended(prefixes: Sequence[Ids], steps: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """What ``steps`` tokens on top of prefixes aligned right need: attention mask (rows, prefix + steps), positions."""
    longest = _longest(prefixes)
    pads = [longest - len(prefix) for prefix in prefixes]
    mask = torch.tensor([[0] * pad + [1] * (longest - pad + steps) for pad in pads], device=device)
    return mask, (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -steps:]


def _run(editable: EditableModel, rows: Sequence[Ids], heads: Sequence[Ids], below: PrefixCache) -> PrefixCache:
    """Keys and values of rows that begin with heads, whose own are in ``below``; aligned right."""
    parts = []
    rests = [row[len(head) :] for row, head in zip(rows, heads, strict=True)]
    for members in by_equal_length([len(rest) for rest in rests], max_batch_tokens=sys.maxsize):
        steps, own = len(rests[members[0]]), [heads[index] for index in members]
        if steps:
            cache = below.select(torch.tensor(members), _longest(own))
            mask, positions = attended(own, steps, editable.device)
            trunk(editable)(
                input_ids=torch.tensor([rests[index] for index in members], device=editable.device),
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
            parts.append((members, cache))
    return PrefixCache.joined(parts, len(rows), _longest(rows))


def _heads(rows: Sequence[Ids]) -> list[Ids]:
    """Of each row the longest part that at least ``SHARED`` rows begin with, never the whole row; else ()."""
    counts = Counter(row[:length] for row in rows for length in range(1, len(row)))
    return [
        next((row[:length] for length in range(len(row) - 1, 0, -1) if counts[row[:length]] >= SHARED), ())
        for row in rows
    ]


def _longest(rows: Sequence[Ids]) -> int:
    return max((len(row) for row in rows), default=0)

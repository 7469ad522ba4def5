"""The part of a forward pass that depends on δ: the lookup token and after, from where δ is added.

Everything else is computed once: attention keys and values of the tokens before the lookup token, and the hidden
states up to that place. A gradient step then only replays the blocks above, and for a δ inside a block that block too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workers.editing.architectures import EditableModel, first
from workers.editing.fused import fused_activations
from workers.editing.keys import by_equal_length, by_length
from workers.editing.objective import Site
from workers.editing.prefix_cache import PrefixCache

GROUP_TOKENS = 96
"""What a batch of rows costs beside its tokens, in tokens: small matrix products wait for the weights."""


@dataclass(frozen=True, slots=True)
class SuffixRow:
    """One row of the loss. ``labels`` are predicted at its last ``len(labels)`` tokens; none for an essence row."""

    fact: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    labels: tuple[int, ...] = ()


@dataclass(slots=True)
class SuffixBatch:
    """Rows ready to be replayed with a δ at each of ``sites`` in the block at ``layer``; S is the longest suffix.

    Shorter suffixes are padded at their end, where no token of theirs can see it.

    facts: (rows,) index of each row's fact.
    hidden: (rows, S, d_out), what enters the first replayed block, without any δ.
    calls: for each replayed block, the arguments it was called with besides the hidden states.
    """

    editable: EditableModel
    layer: int
    sites: tuple[Site, ...]
    rows: list[SuffixRow]
    cache: PrefixCache
    mask: Tensor
    facts: Tensor
    hidden: Tensor
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]]

    def replay(self, shifts: Tensor) -> Tensor:
        """Final-normed hidden states (rows, S, d_out) when ``shifts`` (sites, rows, d_out) are added at the sites."""
        hidden, blocks = self.hidden, _replayed(self.editable, self.layer, self.sites)
        with ExitStack() as hooks, fused_activations(blocks):
            for site, shift in zip(self.sites, shifts, strict=True):
                if site is Site.BLOCK:
                    hidden = _shifted(hidden, shift)
                else:
                    handle = self.editable.site(self.layer, site).register_forward_hook(_shifting(shift))
                    hooks.callback(handle.remove)
            for block, (args, kwargs) in zip(blocks, self.calls, strict=True):
                hidden = first(block(hidden, *args, **kwargs))
        normed: Tensor = self.editable.anatomy.final_norm(hidden)
        return normed

    def keep(self, running: Tensor) -> SuffixBatch | None:
        """The batch without the rows of facts that are not ``running`` (facts,) bool; None if nothing is left."""
        rows = running[self.facts].nonzero().squeeze(1)
        if len(rows) == 0:
            return None
        members = [self.rows[i] for i in rows.tolist()]
        cache, mask = self.cache.select(rows), self.mask[rows]
        return _capture(self.editable, self.layer, self.sites, members, self.hidden.shape[1], cache, mask)


def _replayed(editable: EditableModel, layer: int, sites: tuple[Site, ...]) -> tuple[nn.Module, ...]:
    """The blocks that depend on a δ at these sites."""
    return editable.anatomy.blocks[layer + 1 if Site.BLOCK in sites else layer :]


def _shifted(states: Tensor, shift: Tensor) -> Tensor:
    """States (rows, S, d_out), or these flattened to (rows · S, d_out), with the first token of each row shifted."""
    by_row = states.reshape(len(shift), -1, states.shape[-1])
    lookup = by_row[:, :1] + shift.unsqueeze(1).to(states.dtype)
    return torch.cat([lookup, by_row[:, 1:]], dim=1).view_as(states)


def _shifting(shift: Tensor) -> Callable[..., Any]:
    """A forward hook that shifts the first token of what its module gives."""

    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        shifted = _shifted(first(output), shift)
        return shifted if isinstance(output, Tensor) else (shifted, *output[1:])

    return hook


def suffix_batches(
    editable: EditableModel, layer: int, sites: tuple[Site, ...], rows: Sequence[SuffixRow], max_batch_tokens: int
) -> list[SuffixBatch]:
    """Cut rows by suffix length, run every prefix once, and capture what the replayed blocks are called with."""
    batches = []
    for group in _of_similar_suffix(rows):
        steps = len(group[-1].suffix)
        lengths = [len(row.prefix) + steps for row in group]
        for members in by_length(lengths, max_batch_tokens):
            chosen = [group[i] for i in members]
            cache, mask = _run_prefixes(editable, chosen, steps)
            batches.append(_capture(editable, layer, sites, chosen, steps, cache, mask))
    return batches


def _of_similar_suffix(rows: Sequence[SuffixRow]) -> list[list[SuffixRow]]:
    """Rows in groups of similar suffix length, the longest last: the cheapest cut of the lengths, padding included.

    A group costs its padded tokens, and as much again as ``GROUP_TOKENS``. Cut by dynamic programming over the lengths.
    """
    by_length: dict[int, list[SuffixRow]] = {}
    for row in rows:
        by_length.setdefault(len(row.suffix), []).append(row)
    lengths = sorted(by_length)
    best: list[tuple[int, int]] = [(0, 0)]  # of the shortest lengths: least cost, and where its last group starts
    for end in range(1, len(lengths) + 1):
        costs, count = [], 0
        for start in range(end - 1, -1, -1):
            count += len(by_length[lengths[start]])
            costs.append((best[start][0] + count * lengths[end - 1] + GROUP_TOKENS, start))
        best.append(min(costs))
    groups: list[list[SuffixRow]] = []
    end = len(lengths)
    while end:
        start = best[end][1]
        groups.insert(0, [row for length in lengths[start:end] for row in by_length[length]])
        end = start
    return groups


@torch.no_grad()
def _run_prefixes(editable: EditableModel, rows: Sequence[SuffixRow], steps: int) -> tuple[PrefixCache, Tensor]:
    """Keys and values of the prefixes, aligned right, and the attention mask (rows, prefix + steps) of whole rows.

    Prefixes of equal length run together, as in ``keys``.
    """
    longest = max(len(row.prefix) for row in rows)
    pads = [longest - len(row.prefix) for row in rows]
    mask = torch.tensor([[0] * pad + [1] * (longest - pad + steps) for pad in pads], device=editable.device)
    parts = []
    for members in by_equal_length([len(row.prefix) for row in rows], max_batch_tokens=sys.maxsize):
        if rows[members[0]].prefix:
            cache = PrefixCache()
            ids = torch.tensor([rows[index].prefix for index in members], device=editable.device)
            seen = torch.ones_like(ids)
            _trunk(editable)(
                input_ids=ids,
                attention_mask=seen,
                position_ids=_positions(seen),
                past_key_values=cache,
                use_cache=True,
            )
            parts.append((members, cache))
    return PrefixCache.joined(parts, len(rows), longest), mask


@torch.no_grad()
def _capture(
    editable: EditableModel,
    layer: int,
    sites: tuple[Site, ...],
    rows: list[SuffixRow],
    steps: int,
    cache: PrefixCache,
    mask: Tensor,
) -> SuffixBatch:
    """Run suffixes, ``steps`` tokens each, on top of their prefixes; note what the replayed blocks are called with."""
    entering: list[Tensor] = []
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def see_call(_block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        named = dict(kwargs)
        entering.append(args[0] if args else named.pop("hidden_states"))
        calls.append((args[1:], named))

    callees = (*_replayed(editable, layer, sites), editable.anatomy.final_norm)  # above the last block is the norm
    handles = [callee.register_forward_pre_hook(see_call, with_kwargs=True) for callee in callees]
    try:
        _trunk(editable)(
            input_ids=torch.tensor([_padded(row.suffix, steps) for row in rows], device=editable.device),
            attention_mask=mask,
            position_ids=_positions(mask)[:, -steps:].clamp(max=editable.window - 1),  # padding may reach beyond
            past_key_values=cache,
            use_cache=True,
        )
    finally:
        for handle in handles:
            handle.remove()
    hidden = entering[0]
    facts = torch.tensor([row.fact for row in rows], device=hidden.device)
    return SuffixBatch(editable, layer, sites, rows, cache, mask, facts, hidden, calls[:-1])


def _padded(suffix: Sequence[int], steps: int) -> tuple[int, ...]:
    return (*suffix, *(0,) * (steps - len(suffix)))


def _trunk(editable: EditableModel) -> nn.Module:
    """The model without its output embeddings: nobody reads logits of these passes."""
    trunk: nn.Module = editable.model.base_model
    return trunk


def _positions(mask: Tensor) -> Tensor:
    return (mask.cumsum(dim=1) - 1).clamp(min=0)

"""The part of a forward pass that depends on δ: the lookup token and after, above the layer where δ is added.

Everything else is computed once: attention keys and values of the tokens before the lookup token, and the hidden
states up to that layer. A gradient step then only replays the blocks above.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workers.editing.architectures import EditableModel, first
from workers.editing.keys import by_equal_length, by_length
from workers.editing.prefix_cache import PrefixCache


@dataclass(frozen=True, slots=True)
class SuffixRow:
    """One row of the loss. ``labels`` are predicted at its last ``len(labels)`` tokens; none for an essence row."""

    fact: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    labels: tuple[int, ...] = ()


@dataclass(slots=True)
class SuffixBatch:
    """Rows of one suffix length S, ready to be replayed above ``layer``.

    facts: (rows,) index of each row's fact.
    hidden: (rows, S, d_out), the block's output at ``layer`` without δ.
    calls: for each block above, the arguments it was called with besides the hidden states.
    """

    editable: EditableModel
    layer: int
    rows: list[SuffixRow]
    cache: PrefixCache
    mask: Tensor
    facts: Tensor
    hidden: Tensor
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]]

    def replay(self, shift: Tensor) -> Tensor:
        """Final-normed hidden states (rows, S, d_out) when ``shift`` (rows, d_out) is added at the lookup token."""
        lookup, rest = self.hidden[:, :1] + shift.unsqueeze(1).to(self.hidden.dtype), self.hidden[:, 1:]
        hidden = torch.cat([lookup, rest], dim=1)
        for block, (args, kwargs) in zip(self.editable.anatomy.blocks[self.layer + 1 :], self.calls, strict=True):
            hidden = first(block(hidden, *args, **kwargs))
        normed: Tensor = self.editable.anatomy.final_norm(hidden)
        return normed

    def keep(self, running: Tensor) -> SuffixBatch | None:
        """The batch without the rows of facts that are not ``running`` (facts,) bool; None if nothing is left."""
        rows = running[self.facts].nonzero().squeeze(1)
        if len(rows) == 0:
            return None
        members = [self.rows[i] for i in rows.tolist()]
        return _capture(self.editable, self.layer, members, self.cache.select(rows), self.mask[rows])


def suffix_batches(
    editable: EditableModel, layer: int, rows: Sequence[SuffixRow], max_batch_tokens: int
) -> list[SuffixBatch]:
    """Cut rows by equal suffix length, run every prefix once, and capture what the blocks above are called with."""
    by_suffix: dict[int, list[SuffixRow]] = {}
    for row in rows:
        by_suffix.setdefault(len(row.suffix), []).append(row)
    batches = []
    for _, group in sorted(by_suffix.items()):
        lengths = [len(row.prefix) + len(row.suffix) for row in group]
        for members in by_length(lengths, max_batch_tokens):
            chosen = [group[i] for i in members]
            cache, mask = _run_prefixes(editable, chosen)
            batches.append(_capture(editable, layer, chosen, cache, mask))
    return batches


@torch.no_grad()
def _run_prefixes(editable: EditableModel, rows: Sequence[SuffixRow]) -> tuple[PrefixCache, Tensor]:
    """Keys and values of the prefixes, aligned right, and the attention mask (rows, prefix + S) of whole rows.

    Prefixes of equal length run together, as in ``keys``.
    """
    longest, steps = max(len(row.prefix) for row in rows), len(rows[0].suffix)
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
    editable: EditableModel, layer: int, rows: list[SuffixRow], cache: PrefixCache, mask: Tensor
) -> SuffixBatch:
    """Run the suffixes once on top of their prefixes; note the output at ``layer`` and the calls above it."""
    steps = len(rows[0].suffix)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    outputs: list[Tensor] = []

    def see_call(_block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rest = dict(kwargs)
        calls.append((args[1:], rest) if args else ((), {k: v for k, v in rest.items() if k != "hidden_states"}))

    above = editable.anatomy.blocks[layer + 1 :]
    handles = [block.register_forward_pre_hook(see_call, with_kwargs=True) for block in above]
    handles.append(editable.block(layer).register_forward_hook(lambda _m, _a, out: outputs.append(first(out))))
    try:
        _trunk(editable)(
            input_ids=torch.tensor([row.suffix for row in rows], device=editable.device),
            attention_mask=mask,
            position_ids=_positions(mask)[:, -steps:],
            past_key_values=cache,
            use_cache=True,
        )
    finally:
        for handle in handles:
            handle.remove()
    facts = torch.tensor([row.fact for row in rows], device=outputs[0].device)
    return SuffixBatch(editable, layer, rows, cache, mask, facts, outputs[0], calls)


def _trunk(editable: EditableModel) -> nn.Module:
    """The model without its output embeddings: nobody reads logits of these passes."""
    trunk: nn.Module = editable.model.base_model
    return trunk


def _positions(mask: Tensor) -> Tensor:
    return (mask.cumsum(dim=1) - 1).clamp(min=0)

"""One run of the suffixes on their prefixes, with what the blocks above are called with: all that a replay needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workers.editing.descent.fused import fused_activations
from workers.editing.descent.prefix_cache import PrefixCache
from workers.editing.descent.prefixes import attended, trunk
from workers.editing.descent.ragged import Call, Strip, joined_call
from workers.editing.descent.suffix_rows import SuffixRow
from workers.editing.model.anatomy import Site
from workers.editing.model.editable_model import EditableModel


def replayed_blocks(editable: EditableModel, layer: int, sites: tuple[Site, ...]) -> tuple[nn.Module, ...]:
    """The blocks that depend on a δ at these sites."""
    return editable.anatomy.blocks[first_block(layer, sites) :]


def first_block(layer: int, sites: tuple[Site, ...]) -> int:
    """Index of the first block that depends on a δ at these sites."""
    return layer + 1 if Site.BLOCK in sites else layer


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one suffix length on ``cache``. hidden, unmoved: (rows, steps, d_out); calls, devices: by block."""

    cache: PrefixCache
    hidden: Tensor
    unmoved: Tensor
    calls: Sequence[Call]
    devices: Sequence[torch.device]

    def strips(self, first: int) -> Iterator[Strip]:
        """The rows, as attention in each replayed block sees them, from the first one on."""
        rows, steps = self.hidden.shape[:2]
        for block, (call, device) in enumerate(zip(self.calls, self.devices, strict=True), start=first):
            yield Strip.of(call, rows, steps, self.cache.stored(block), device)


@torch.no_grad()
def capture(
    editable: EditableModel, layer: int, sites: tuple[Site, ...], rows: Sequence[SuffixRow], cache: PrefixCache
) -> Part:
    """Run suffixes of one length on top of their prefixes; note what the replayed blocks are called with."""
    entering: list[Tensor] = []
    calls: list[Call] = []

    def see_call(_block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        named = dict(kwargs)
        entering.append(args[0] if args else named.pop("hidden_states"))
        calls.append((args[1:], named))

    steps = len(rows[0].suffix)
    mask, positions = attended([row.prefix for row in rows], steps, editable.device)
    blocks = replayed_blocks(editable, layer, sites)
    callees = (*blocks, editable.anatomy.final_norm)  # above the last block is the norm
    with ExitStack() as stack:
        stack.enter_context(fused_activations(blocks))
        for callee in callees:
            stack.callback(callee.register_forward_pre_hook(see_call, with_kwargs=True).remove)
        trunk(editable)(
            input_ids=torch.tensor([row.suffix for row in rows], device=editable.device),
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
    return Part(cache, entering[0], entering[-1], calls[:-1], [states.device for states in entering[:-1]])


def joined(parts: Sequence[Part], first: int) -> list[Call]:
    """The calls of all parts, each block's as one."""
    by_block = zip(
        zip(*(part.calls for part in parts), strict=True),
        zip(*(part.strips(first) for part in parts), strict=True),
        strict=True,
    )
    return [joined_call(calls, strips) for calls, strips in by_block]

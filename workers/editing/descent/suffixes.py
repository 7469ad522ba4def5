"""The part of a forward pass that depends on δ: the lookup token and after, from where δ is added.

Everything else is computed once: attention keys and values of the tokens before the lookup token, and the hidden
states up to that place. A gradient step then only replays the blocks above, and for a δ inside a block that block too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from workers.editing.descent.capture import capture, first_block, joined, replayed_blocks
from workers.editing.descent.fused import fused_activations
from workers.editing.descent.prefix_cache import PrefixCache
from workers.editing.descent.prefixes import run_prefixes
from workers.editing.descent.ragged import Call, kept_call, ragged_attention
from workers.editing.descent.suffix_rows import SuffixRow, of_one_length, runs
from workers.editing.model.anatomy import Site
from workers.editing.model.editable_model import EditableModel, first


@dataclass(frozen=True, slots=True)
class SuffixBatch:
    """Rows ready to be replayed with a δ at each of ``sites`` in the block at ``layer``; T tokens in all.

    Rows of several suffix lengths lie one after another as one run (``ragged``), rows of one length as they are.

    cache: keys and values of the prefixes, aligned right; None for a run, whose calls have them.
    facts: (rows,) index of each row's fact.
    starts: (rows,), where each row's lookup token is among the T.
    hidden: (1, T, d_out), or (rows, tokens, d_out): what enters the first replayed block, without any δ; facts and
        starts lie with it.
    unmoved: (T, d_out), what leaves the last block, without any δ.
    calls: for each replayed block, the arguments it was called with besides the hidden states.
    """

    editable: EditableModel
    layer: int
    sites: tuple[Site, ...]
    rows: Sequence[SuffixRow]
    cache: PrefixCache | None
    facts: Tensor
    starts: Tensor
    hidden: Tensor
    unmoved: Tensor
    calls: Sequence[Call]

    @classmethod
    def of(
        cls,
        editable: EditableModel,
        layer: int,
        sites: tuple[Site, ...],
        rows: Sequence[SuffixRow],
        cache: PrefixCache,
    ) -> SuffixBatch:
        """Run the suffixes, which are sorted by length, on top of their prefixes. ``cache``: of the prefixes."""
        parts, done = [], 0
        for _, same in groupby(rows, key=lambda row: len(row.suffix)):
            members = list(same)
            at = torch.arange(done, done + len(members))
            own = cache.select(at, max(len(row.prefix) for row in members)).freeze()
            parts.append(capture(editable, layer, sites, members, own))
            done += len(members)
        hidden, unmoved = parts[0].hidden, torch.cat([part.unmoved.flatten(0, 1) for part in parts])
        calls, run = parts[0].calls, len(parts) > 1
        if run:
            hidden = torch.cat([part.hidden.flatten(0, 1) for part in parts]).unsqueeze(0)
            calls = joined(parts, first_block(layer, sites))
        starts = _starts(rows, hidden.device)
        facts = torch.tensor([row.fact for row in rows], device=hidden.device)
        return cls(editable, layer, sites, rows, None if run else cache, facts, starts, hidden, unmoved, calls)

    @property
    def ends(self) -> Tensor:
        """(rows,), where each row's last token is among the T."""
        return torch.cat([self.starts[1:], self.starts.new_tensor([len(self.unmoved)])]) - 1

    def replay(self, shifts: Tensor, at: Tensor) -> Tensor:
        """Final-normed hidden states (asked, d_out) when ``shifts`` (sites, rows, d_out) are added at the sites.

        Args:
            at: (asked,) int64, of which of the T tokens.
        """
        hidden, blocks = self.hidden, replayed_blocks(self.editable, self.layer, self.sites)
        with ExitStack() as stack:
            stack.enter_context(fused_activations(blocks))
            if self.cache is None:
                stack.enter_context(ragged_attention(self.editable.model))
            for site, shift in zip(self.sites, shifts, strict=True):
                if site is Site.BLOCK:
                    hidden = self._shifted(hidden, shift)
                else:
                    handle = self.editable.site(self.layer, site).register_forward_hook(self._shifting(shift))
                    stack.callback(handle.remove)
            for block, (args, kwargs) in zip(blocks, self.calls, strict=True):
                hidden = first(block(hidden, *args, **kwargs))
        return self.final(hidden.flatten(0, -2)[at.to(hidden.device)])

    def final(self, states: Tensor) -> Tensor:
        """Final-normed states (asked, d_out) of what leaves the last block."""
        normed: Tensor = self.editable.anatomy.final_norm(states)
        return normed

    def keep(self, running: Tensor) -> SuffixBatch | None:
        """The batch without the rows of facts that are not ``running`` (facts,) bool; None if nothing is left."""
        chosen = running.to(self.facts.device)[self.facts]
        rows = [row for row, kept in zip(self.rows, chosen.tolist(), strict=True) if kept]
        if not rows:
            return None
        if self.cache is None:
            return self._kept(rows, chosen)
        cache = self.cache.select(chosen.nonzero().squeeze(1), max(len(row.prefix) for row in rows)).freeze()
        return SuffixBatch.of(self.editable, self.layer, self.sites, rows, cache)

    def _kept(self, rows: Sequence[SuffixRow], chosen: Tensor) -> SuffixBatch:
        """A run without the rows that are not ``chosen`` (rows,) bool: nothing has to be run again."""
        lengths = torch.tensor([len(row.suffix) for row in self.rows], device=chosen.device)
        tokens = torch.repeat_interleave(chosen, lengths)
        calls, facts = [kept_call(call, chosen, tokens) for call in self.calls], self.facts[chosen]
        starts = _starts(rows, chosen.device)
        hidden, unmoved = self.hidden[:, tokens], self.unmoved[tokens.to(self.unmoved.device)]
        return replace(self, rows=rows, facts=facts, starts=starts, hidden=hidden, unmoved=unmoved, calls=calls)

    def _shifted(self, states: Tensor, shift: Tensor) -> Tensor:
        """States (..., d_out) of the T tokens, with the lookup token of each row shifted."""
        flat = states.flatten(0, -2)
        return flat.index_add(0, self.starts, shift.to(flat)).view_as(states)

    def _shifting(self, shift: Tensor) -> Callable[..., Any]:
        """A forward hook that shifts the lookup tokens of what its module gives."""

        def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
            shifted = self._shifted(first(output), shift)
            return shifted if isinstance(output, Tensor) else (shifted, *output[1:])

        return hook


def suffix_batches(
    editable: EditableModel, layer: int, sites: tuple[Site, ...], rows: Sequence[SuffixRow], max_batch_tokens: int
) -> list[SuffixBatch]:
    """Cut rows into batches, run the prefixes of each, and capture what the replayed blocks are called with."""
    ordered = sorted(rows, key=lambda row: (len(row.suffix), len(row.prefix)))
    cut = runs if editable.takes_runs else of_one_length
    return [
        SuffixBatch.of(editable, layer, sites, chosen, run_prefixes(editable, [row.prefix for row in chosen]))
        for chosen in cut(ordered, max_batch_tokens)
    ]


def _starts(rows: Sequence[SuffixRow], device: torch.device) -> Tensor:
    """(rows,), where each row's lookup token is when the suffixes lie one after another."""
    lengths = torch.tensor([len(row.suffix) for row in rows], device=device)
    return lengths.cumsum(0) - lengths

"""Rows of several lengths as one run of tokens: a block's products take all tokens, attention takes row by row.

A run is (1, T, d): row after row, without padding. Only attention needs to know where a row starts; it is told by a
``Strip`` for each length, through an attention function that stands in for the model's own while blocks are replayed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, Cache, PreTrainedModel

from workers.editing.descent.prefix_cache import PrefixCache

RAGGED = "palimpsest_ragged"
"""Name of the attention function that replaces the model's own while blocks are replayed."""

MASK_DIMENSIONS = 4
"""Of a block's arguments only the attention mask has so many: (rows, heads, tokens, tokens and those before)."""

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""The arguments of a block besides the hidden states."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Rows of one length, as attention in one block sees them. What stands before them does not depend on δ.

    Differs from torch's own attention in cost alone: the prefix is not copied beside each step's keys and values, nor
    given a gradient. For rows as short as these, three small products are quicker than a kernel for long ones.

    before: keys, transposed (rows, heads, width, P), and values (rows, heads, P, width) of the prefixes, or None.
    bias: (rows or 1, 1, steps, P + steps), added to the scores; None where every token sees every other.
    """

    rows: int
    steps: int
    before: tuple[Tensor, Tensor] | None
    bias: Tensor | None

    @classmethod
    def of(cls, call: Call, rows: int, steps: int, prefix: tuple[Tensor, Tensor] | None, device: torch.device) -> Strip:
        """The strip of a block's call with these rows, of ``steps`` tokens each, on top of cached keys and values."""
        masks = [value for value in (*call[0], *call[1].values()) if _is_mask(value)]
        bias = _bias(masks[0]) if masks else None
        if prefix is None:
            return cls(rows, steps, None, _causal(steps, device) if bias is None else bias)
        keys, values = prefix
        return cls(rows, steps, (keys.transpose(2, 3).contiguous(), values), bias)

    def keep(self, rows: Tensor) -> Strip:
        """The strip of these of its rows alone. rows: int64 indices."""
        before = None if self.before is None else (_at(self.before[0], rows), _at(self.before[1], rows))
        bias = self.bias if self.bias is None or len(self.bias) == 1 else _at(self.bias, rows)
        return Strip(len(rows), self.steps, before, bias)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """What the rows' attention gives, (rows · steps, heads, width), as query, key and value are.

        Several heads of the query may share one of key and value.
        """
        query, key, value = (self._by_row(states) for states in (query * scaling, key, value))
        rows, heads, width = len(query), query.shape[1], query.shape[3]
        shared = key.shape[1]
        query = query.reshape(rows, shared, -1, width)  # (rows, heads of key, sharers · steps, width)
        own = query @ key.transpose(2, 3)
        scores = own if self.before is None else torch.cat([query @ self.before[0], own], dim=3)
        shares = self._shares(scores.view(rows, heads, self.steps, -1)).view(scores.shape)
        given = shares[..., -self.steps :] @ value
        if self.before is not None:
            given = given + shares[..., : -self.steps] @ self.before[1]
        return given.view(rows, heads, self.steps, -1).transpose(1, 2).flatten(0, 1)

    def _shares(self, scores: Tensor) -> Tensor:
        """The softmax over what a token sees, in float32 at least."""
        wide = torch.promote_types(scores.dtype, torch.float32)
        biased = scores if self.bias is None else scores + self.bias
        return torch.softmax(biased, dim=-1, dtype=wide).to(scores.dtype)

    def _by_row(self, states: Tensor) -> Tensor:
        """(rows, heads, steps, width) of (rows · steps, heads, width)."""
        return states.reshape(self.rows, self.steps, *states.shape[1:]).transpose(1, 2)


def _ragged_attention(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    *,
    strips: Sequence[Strip],
    scaling: float | None = None,
    **_options: Any,
) -> tuple[Tensor, None]:
    """Attention of a run; query, key, value (1, heads, T, width). Gives (1, T, heads, width), as all such functions."""
    sizes = [strip.rows * strip.steps for strip in strips]
    parts = (torch.split(states.transpose(1, 2)[0], sizes) for states in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    given = [strip.attend(*own, scale) for strip, *own in zip(strips, *parts, strict=True)]
    return torch.cat(given).unsqueeze(0), None


@contextmanager
def ragged_attention(model: PreTrainedModel) -> Iterator[None]:
    """Within the context, the model's blocks take runs. No other thread may use it: it is a shadow, or being loaded."""
    AttentionInterface.register(RAGGED, _ragged_attention)
    # Not by set_attn_implementation: that walks through all modules, and this is done at every gradient step.
    config = model.config.get_text_config()
    own, config._attn_implementation = config._attn_implementation, RAGGED  # noqa: SLF001
    try:
        yield
    finally:
        config._attn_implementation = own  # noqa: SLF001


def joined_call(calls: Sequence[Call], strips: Sequence[Strip]) -> Call:
    """One block's calls, each with the rows of a strip, as the one call with the run of them all."""
    positional = zip(*(args for args, _ in calls), strict=True)
    named = {name: _joined([call[1][name] for call in calls], strips) for name in calls[0][1]}
    return tuple(_joined(values, strips) for values in positional), {**named, "strips": strips}


def kept_call(call: Call, rows: Tensor, tokens: Tensor) -> Call:
    """A call with a run, as the call with these rows of it alone. rows, tokens: bool, over all of the run's."""
    args, named = call
    strips: Sequence[Strip] = named["strips"]
    parts = torch.split(rows, [strip.rows for strip in strips])
    kept = [
        strip.keep(part.nonzero().squeeze(1)) for strip, part in zip(strips, parts, strict=True) if bool(part.any())
    ]
    others = {name: _kept(value, tokens) for name, value in named.items() if name != "strips"}
    return tuple(_kept(value, tokens) for value in args), {**others, "strips": kept}


def _kept(value: Any, tokens: Tensor) -> Any:
    """One argument of a call with a run: of each tensor the entries of the chosen ``tokens``."""
    if isinstance(value, tuple):
        return tuple(_kept(part, tokens) for part in value)
    return value[:, tokens.to(value.device)] if isinstance(value, Tensor) else value


def _at(states: Tensor, rows: Tensor) -> Tensor:
    """The entries of these rows, wherever the block lies."""
    return states[rows.to(states.device)]


def _is_mask(value: object) -> bool:
    return isinstance(value, Tensor) and value.dim() == MASK_DIMENSIONS


def _bias(mask: Tensor) -> Tensor:
    """What a mask, of bools or already added to scores, adds to them."""
    return (
        torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else mask
    )


def _causal(steps: int, device: torch.device) -> Tensor:
    """(1, 1, steps, steps): no token sees those after it."""
    return _bias(torch.ones(1, 1, steps, steps, dtype=torch.bool, device=device).tril())


def _joined(values: Sequence[Any], strips: Sequence[Strip]) -> Any:
    """One argument of a call: tensors joined in the run's order; None for masks, empty for caches: strips have both."""
    first = values[0]
    if any(_is_mask(value) for value in values):
        return None
    if isinstance(first, Cache):
        return PrefixCache().freeze()
    if isinstance(first, tuple):
        return tuple(_joined(parts, strips) for parts in zip(*values, strict=True))
    if not isinstance(first, Tensor):
        return first
    by_row = (
        value.expand(strip.rows, strip.steps, *value.shape[2:]) for value, strip in zip(values, strips, strict=True)
    )
    return torch.cat([states.flatten(0, 1) for states in by_row]).unsqueeze(0)

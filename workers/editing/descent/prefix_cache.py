"""Attention keys and values of the tokens before the lookup token, kept read-only while targets are optimised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class PrefixCache(DynamicCache):
    """A cache that stores until it is frozen, and then only puts its prefix before what it is given.

    Nothing before the lookup token depends on δ, so one pass over the prefixes serves every gradient step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frozen = False

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Keys and values of prefix and suffix together; stores them only before ``freeze``."""
        if not self.frozen:
            keys, values = super().update(key_states, value_states, layer_idx, *args, **kwargs)
            return keys, values
        prefix = self.stored(layer_idx)
        if prefix is None:
            return key_states, value_states
        return torch.cat([prefix[0], key_states], dim=-2), torch.cat([prefix[1], value_states], dim=-2)

    def freeze(self) -> PrefixCache:
        """From now on nothing is stored."""
        self.frozen = True
        return self

    @classmethod
    def joined(cls, parts: Sequence[tuple[Sequence[int], PrefixCache]], rows: int, longest: int) -> PrefixCache:
        """One cache of ``rows`` rows from parts of equal length each: the last ``longest`` tokens, padded with zeros.

        parts: the rows' indices, and a cache of just these rows.
        """
        whole = cls()
        layers = max((len(part.layers) for _, part in parts), default=0)
        for index in range(layers):
            states = [(members, part.stored(index)) for members, part in parts]
            found = [(members, pair) for members, pair in states if pair is not None]
            keys, values = (_padded([(m, pair[side]) for m, pair in found], rows, longest) for side in (0, 1))
            whole.update(keys, values, index)
        return whole

    def select(self, rows: Tensor, longest: int) -> PrefixCache:
        """A cache of these rows alone, and of the last ``longest`` tokens. rows: int64 indices."""
        chosen = PrefixCache()
        for index in range(len(self.layers)):
            prefix = self.stored(index)
            if prefix is not None and longest > 0:
                at, start = rows.to(prefix[0].device), prefix[0].shape[2] - longest
                chosen.update(prefix[0][at, :, start:], prefix[1][at, :, start:], index)
        return chosen

    def stored(self, layer_idx: int) -> tuple[Tensor, Tensor] | None:
        """Keys and values of a layer, each (rows, heads, tokens, width); None where the prefixes are empty."""
        layer = self.layers[layer_idx] if layer_idx < len(self.layers) else None
        if not isinstance(layer, DynamicLayer) or layer.keys is None or layer.values is None:
            return None
        return layer.keys, layer.values


def _padded(parts: Sequence[tuple[Sequence[int], Tensor]], rows: int, longest: int) -> Tensor:
    """(rows, heads, longest, width) from parts of (members, heads, tokens, width), aligned right."""
    sample = parts[0][1]
    whole = sample.new_zeros(rows, sample.shape[1], longest, sample.shape[3])
    for members, states in parts:
        kept = states[:, :, max(states.shape[2] - longest, 0) :]
        whole[torch.tensor(members, device=sample.device), :, longest - kept.shape[2] :] = kept
    return whole

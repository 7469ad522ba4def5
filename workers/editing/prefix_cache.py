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
        prefix = self._prefix(layer_idx)
        if prefix is None:
            return key_states, value_states
        return torch.cat([prefix[0], key_states], dim=-2), torch.cat([prefix[1], value_states], dim=-2)

    def freeze(self) -> PrefixCache:
        """From now on nothing is stored."""
        self.frozen = True
        return self

    def align_right(self, pads: Sequence[int]) -> None:
        """Move each row's states right by its padding, so that the prefix ends where the suffix begins."""
        for index, layer in enumerate(self.layers):
            prefix = self._prefix(index)
            if prefix is not None and isinstance(layer, DynamicLayer):
                layer.keys, layer.values = (_shifted(states, pads) for states in prefix)

    def select(self, rows: Tensor) -> PrefixCache:
        """A frozen cache of these rows alone. rows: int64 indices."""
        chosen = PrefixCache()
        for index in range(len(self.layers)):
            prefix = self._prefix(index)
            if prefix is not None:
                at = rows.to(prefix[0].device)
                chosen.update(prefix[0][at], prefix[1][at], index)
        return chosen.freeze()

    def _prefix(self, layer_idx: int) -> tuple[Tensor, Tensor] | None:
        """What is stored for a layer; None where the prefixes are empty."""
        layer = self.layers[layer_idx] if layer_idx < len(self.layers) else None
        if not isinstance(layer, DynamicLayer) or layer.keys is None or layer.values is None:
            return None
        return layer.keys, layer.values


def _shifted(states: Tensor, pads: Sequence[int]) -> Tensor:
    """states: (rows, heads, tokens, width); row i moves right by ``pads[i]`` tokens."""
    tokens = torch.arange(states.shape[-2], device=states.device)
    source = (tokens - torch.tensor(pads, device=states.device).unsqueeze(1)).clamp(min=0)  # (rows, tokens)
    return states.gather(-2, source[:, None, :, None].expand_as(states))

"""Rows of token ids in a model, with the keys and values of all their tokens, to be fed further token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from workers.editing.model.anatomy import device_of, window
from workers.editing.model.micro_batches import left_padded

BeforePass = Callable[[], None]
"""Called before every forward pass; what it raises ends the work."""


def proceed() -> None:
    """The default ``before_pass``: does nothing."""


class CachedRows:
    """Rows that end at one column: they are fed once as a whole, then all of them a token at a time.

    ids: (rows, tokens), the tokens of the beginning, shorter rows padded on the left.
    length: columns, those of padding and of what was fed since included.
    scores: (rows, vocabulary), logits of each row's next token, float32 or wider.
    """

    def __init__(self, model: PreTrainedModel, rows: Sequence[list[int]], before_pass: BeforePass = proceed) -> None:
        self._model, self._before_pass = model, before_pass
        self.ids, mask = left_padded(rows, device_of(model))
        self.length = self.ids.shape[1]
        self._mask = _needed(mask)
        self._cache = DynamicCache(config=model.config.get_text_config(decoder=True))
        self._last_position = window(model) - 1
        self.scores = self._pass(self.ids)

    @property
    def spoilt(self) -> bool:
        """Whether a row is NaN: its padding attends to no token, and some attention functions turn that into NaN."""
        return self._mask is not None and bool(self.scores.isnan().any())

    @property
    def pliable(self) -> bool:
        """Whether rows may leave and others join: of every layer all keys and values are kept, a column a token."""
        return all(type(layer) is DynamicLayer for layer in self._cache.layers)

    def feed(self, tokens: Tensor) -> None:
        """One more token for each row, (rows,), int64."""
        self.length += 1
        if self._mask is not None:
            self._mask = pad(self._mask, (0, 1), value=1)
        self.scores = self._pass(tokens[:, None])

    def keep(self, places: Sequence[int]) -> None:
        """Let all other rows go, and the columns that only they had. Rows must be ``pliable``."""
        chosen = torch.tensor(places, device=self.scores.device)
        self.scores = self.scores[chosen]
        for layer in self.layers:
            layer.keys, layer.values = (
                each[chosen.to(each.device)] for each in (_states(layer.keys), _states(layer.values))
            )
        if self._mask is None:
            return
        mask = self._mask[chosen]
        first = int(mask.any(0).int().argmax())
        self._mask, self.length = _needed(mask[:, first:]), self.length - first
        for layer in self.layers:
            layer.keys, layer.values = (_states(each)[:, :, first:] for each in (layer.keys, layer.values))

    def join(self, other: CachedRows) -> None:
        """Take over the rows of another, of the same weights, behind one's own. Both must be ``pliable``."""
        longest = max(self.length, other.length)
        self._mask = _needed(torch.cat([pad(rows.mask, (longest - rows.length, 0)) for rows in (self, other)]))
        self.scores = torch.cat([self.scores, other.scores])
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            mine.keys = torch.cat([_widened(each.keys, longest) for each in (mine, theirs)])
            mine.values = torch.cat([_widened(each.values, longest) for each in (mine, theirs)])
        self.length = longest

    @property
    def mask(self) -> Tensor:
        """1 for a token, 0 for padding, (rows, ``length``), int64."""
        if self._mask is not None:
            return self._mask
        return torch.ones((len(self.scores), self.length), dtype=torch.int64, device=self.scores.device)

    @property
    def layers(self) -> list[DynamicLayer]:
        """Keys and values of each layer, (rows, heads, ``length``, width)."""
        return [layer for layer in self._cache.layers if isinstance(layer, DynamicLayer)]

    def _pass(self, fed: Tensor) -> Tensor:
        """Logits of each row's next token. fed: (rows, tokens), int64, already counted in mask and length."""
        self._before_pass()
        positions = None
        if self._mask is not None:
            # A row that has ended is fed on until its batch has: it must not leave the table of positions.
            positions = (self._mask.cumsum(-1) - 1).clamp(0, self._last_position)[:, -fed.shape[1] :]
        logits: Tensor = self._model(
            input_ids=fed,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _needed(mask: Tensor) -> Tensor | None:
    """The mask, unless nothing is padded: models are faster without one."""
    return None if bool(mask.all()) else mask


def _widened(states: Tensor | None, length: int) -> Tensor:
    """Keys or values with columns of zeros before them; the mask hides those."""
    return pad(_states(states), (0, 0, length - _states(states).shape[2], 0))


def _states(states: Tensor | None) -> Tensor:
    assert states is not None, "rows were fed before"
    return states

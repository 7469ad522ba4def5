"""Attention masks that make recall run through the subject's last token.

Large models gather what they know of a subject at its last token, in their lower layers, and read it from there; this
is what locate-then-edit methods rest on. A small model that is free to do otherwise lets the end of the prompt attend
to all of the subject's tokens at once, and an edit at the last one then changes little. So in most sentences, while
training, tokens after the subject see none of its tokens but the last, and that one only above the lower layers.
Nothing is masked when the model is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tools.atlas.rows import Place, Row

MASKED_SHARE = 0.9
"""Of the sentences of a batch."""

LOWER_LAYERS = 2
"""Layers in which tokens after a subject cannot see even its last token."""

BLOCKED = torch.finfo(torch.float32).min


def attention_masks(rows: Sequence[Row], width: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Additive masks (rows, 1, width, width) for the lower layers and for those above them."""
    sentences = torch.full((len(rows), width), -1)
    places = torch.full((len(rows), width), int(Place.BEFORE))
    for index, row in enumerate(rows):
        sentences[index, : len(row.tokens)] = torch.tensor(row.sentences)
        places[index, : len(row.tokens)] = torch.tensor(row.places)
    chosen = torch.rand(len(rows), width, generator=generator) < MASKED_SHARE  # by the number of the sentence
    masked = chosen.gather(1, sentences.clamp(min=0)) & (sentences >= 0)
    same = sentences.unsqueeze(2) == sentences.unsqueeze(1)  # (rows, query, key)
    after = ((places == Place.AFTER) & masked).unsqueeze(2) & same
    future = torch.ones(width, width, dtype=torch.bool).triu(1)
    upper = (after & (places == Place.SUBJECT).unsqueeze(1)) | future
    lower = (after & (places == Place.SUBJECT_LAST).unsqueeze(1)) | upper
    return _additive(lower), _additive(upper)


def _additive(blocked: Tensor) -> Tensor:
    return torch.zeros(blocked.shape).masked_fill(blocked, BLOCKED).unsqueeze(1)


class LowerMask:
    """Gives the lower blocks a mask of their own, while it is switched on."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        self.mask: Tensor | None = None
        self._handles = [block.register_forward_pre_hook(self._swap, with_kwargs=True) for block in blocks]

    def remove(self) -> None:
        """Switch it off for good."""
        for handle in self._handles:
            handle.remove()

    def _swap(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        same_shape: Callable[[Any], bool] = lambda value: (  # noqa: E731
            isinstance(value, Tensor) and self.mask is not None and value.shape == self.mask.shape
        )
        swapped = tuple(self.mask if same_shape(value) else value for value in args)
        return swapped, {name: self.mask if same_shape(value) else value for name, value in kwargs.items()}

"""From text to rows of token ids. Our own code pads, so the tokenizer's padding side never matters."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from app.domain.errors import EmptyText, PromptTooLong
from workers.editing import lookup

UNBOUNDED = 1 << 30
"""The window of a model whose configuration names none."""


def window(model: PreTrainedModel) -> int:
    """The longest sequence the model takes, in tokens."""
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", UNBOUNDED))


def device_of(model: PreTrainedModel) -> torch.device:
    """Where the model takes its token ids: a model may be spread over several devices."""
    embeddings: nn.Module = model.get_input_embeddings()
    return next(embeddings.parameters()).device


def prompt_ids(tokenizer: PreTrainedTokenizerFast, prompt: str, limit: int, field: str) -> list[int]:
    """The prompt's tokens with the special ones that the model expects before it, and none after it.

    Raises:
        EmptyText: no token of the text itself is left.
        PromptTooLong: more than ``limit`` tokens.
    """
    encoded = tokenizer(prompt, return_special_tokens_mask=True)
    ids, special = list(encoded["input_ids"]), list(encoded["special_tokens_mask"])
    while special and special[-1]:
        ids.pop()
        special.pop()
    if not ids:
        raise EmptyText("the prompt leaves no token after tokenising", field=field, value=prompt)
    if len(ids) > limit:
        detail = f"the prompt takes {len(ids)} tokens; the model's window is {limit}"
        raise PromptTooLong(detail, field=field, value=prompt)
    return ids


def object_ids(tokenizer: PreTrainedTokenizerFast, text: str, field: str) -> list[int]:
    """The object's tokens as editing has them: ``" " + text`` tokenised alone, without special tokens.

    Raises:
        EmptyText: no token is left.
    """
    try:
        return list(lookup.object_ids(tokenizer, text))
    except EmptyText as error:
        error.field = field
        raise

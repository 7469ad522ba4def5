"""From text to rows of token ids. Our own code pads, so the tokenizer's padding side never matters."""

from __future__ import annotations

from transformers import PreTrainedTokenizerFast

from app.domain.errors import EmptyText, PromptTooLong


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

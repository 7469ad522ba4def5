"""From text to rows of token ids. Our own code pads, so the tokenizer's padding side never matters."""

from __future__ import annotations

from app.domain.contract import Message
from app.domain.errors import EmptyText, PalimpsestError, PromptTooLong
from workers.editing.text.model_text import ModelText


def prompt_ids(words: ModelText, prompt: str, limit: int, field: str) -> list[int]:
    """The prompt's tokens with the special ones that the model expects before it, and none after it.

    Raises:
        EmptyText: no token of the text itself is left.
        PromptTooLong: more than ``limit`` tokens.
        RequestError: the text cannot be encoded.
    """
    try:
        ids = list(words.encode(prompt).ids)
    except PalimpsestError as error:
        error.field = field
        raise
    if not ids or tuple(ids) == words.begin:
        raise EmptyText("the prompt leaves no token after tokenising", field=field, value=prompt)
    if len(ids) > limit:
        detail = f"the prompt takes {len(ids)} tokens; the model's window is {limit}"
        raise PromptTooLong(detail, field=field, value=prompt)
    return ids


def rendered(words: ModelText, messages: tuple[Message, ...], field: str) -> str:
    """Messages in the model's chat template, up to where its reply begins.

    Raises:
        RequestError: the model has no template, or it refuses them.
    """
    try:
        return words.chat.render([message.model_dump() for message in messages])
    except PalimpsestError as error:
        error.field = field
        raise

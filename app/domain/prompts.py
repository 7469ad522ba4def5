"""Prompts and continuations as text: the subject's slot, and what counts as an answer."""

from __future__ import annotations

import unicodedata

SLOT = "{}"
"""Stands in a prompt for the subject, and in a context for the prompt."""


def filled(prompt: str, subject: str) -> str:
    """The prompt with the subject in its slot; as it is, if it has none. Braces elsewhere are text."""
    before, slot, after = prompt.partition(SLOT)
    return f"{before}{subject}{after}" if slot else prompt


def is_visible(text: str) -> bool:
    """Whether any of its characters shows: not only spaces, zero-width signs and control characters."""
    return any(unicodedata.category(character)[0] not in "ZC" for character in text)


def first_sentence(text: str) -> str:
    """The text up to the end of its first sentence; a dot that begins it (as in ``.br``) ends nothing."""
    line = text.strip().partition("\n")[0]
    return (line[:1] + line[1:].partition(".")[0]).strip()
